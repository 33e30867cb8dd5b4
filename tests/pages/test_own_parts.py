"""The examples of docs/your-own-parts.md are files as they stand there, short, and they work."""

import pytest
from page_blocks import ROOT, blocks_of

from analysis.runs import load
from entrypoints import evaluate_extrapolation, grid
from looped.names import Metric

PAGE = ROOT / "docs" / "your-own-parts.md"
FILES = sorted((ROOT / "examples").glob("my_*.py"))
MOST_LINES = 25


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_page_shows_each_file_and_none_is_long(path):
    text = path.read_text()
    assert text in [block.text for block in blocks_of(PAGE) if block.language == "python"]
    assert len(text.splitlines()) <= MOST_LINES


def test_there_are_the_parts_that_the_page_promises():
    assert [path.stem for path in FILES] == [
        "my_claims", "my_figures", "my_forms", "my_metrics", "my_tasks"
    ]  # fmt: skip


def test_a_task_a_size_and_a_metric_go_from_grid_to_store(call, store, tmp_path, monkeypatch):
    """Worker processes find the task, though none of them stands where its file is given from."""
    monkeypatch.chdir(ROOT)
    code, lines = call(
        grid, "--task", "examples/my_tasks.py:Quadratic", "--task_options", "scale=1,scale=2",
        "--sizes", "1x1x8x16", "--bs", "2", "--seeds", "1", "--n_dims", "2", "--n_examples", "5",
        "--batch_size", "8", "--steps", "6", "--warmup", "2", "--b_max", "3", "--n_prompts", "64",
        "--workers", "1", "--replicas", "off", "--device", "cpu", "--runs_dir", str(tmp_path / "runs"),
    )  # fmt: skip
    assert code == 0, lines
    experiment_id = store.get_experiment_by_name("test").experiment_id
    runs = load.read_runs(store, experiment_id)
    words = {run.task.partition(" ")[2] for run in runs}
    assert words == {"n_dims=2 scale=1", "n_dims=2 scale=2"}
    assert {run.config.size for run in runs} == {"1x1x8x16"}
    assert set(load.baseline_nmse(store, experiment_id, runs)[runs[0].run_id]) == {
        "nearest_neighbours", "least_squares", "bayes"
    }  # fmt: skip
    (name, _) = {model.name for model in store.search_registered_models()}
    assert name.startswith("looped-Quadratic-")
    code, lines = call(
        evaluate_extrapolation, "--model", f"models:/{name}@best", "--b_max", "4", "--n_prompts",
        "64", "--metric", "examples/my_metrics.py:within_tenth", "--runs_dir", str(tmp_path / "runs"),
    )  # fmt: skip
    assert code == 0, lines
    assert "within_tenth-" in lines[0]
    metrics = [run.metrics for run in load.read_runs(store, experiment_id)]
    shares = [value for each in metrics for key, value in each.items()
              if key.startswith(Metric.OWN) and not key.endswith("_se")]  # fmt: skip
    assert all(0 <= share <= 1 for share in shares) and len(shares) == 1
