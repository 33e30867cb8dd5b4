"""The examples of docs/your-own-parts.md are files as they stand there, short, and they work."""

import re
import signal

import pytest
from page_blocks import ROOT, blocks_of

from analysis.runs import load
from entrypoints import evaluate_extrapolation, grid, train
from looped.names import Metric
from looped.tasks.task_config import TaskConfig

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


def test_the_page_calls_the_task_what_it_is_called():
    word = TaskConfig(f"{ROOT}/examples/my_tasks.py:Quadratic", 5).word
    assert set(re.findall(r"Quadratic-\w{6}", PAGE.read_text("utf-8"))) == {word}


SHORT = [
    "--n_dims", "2", "--n_examples", "5", "--batch_size", "8", "--steps", "6", "--warmup", "2",
    "--b_max", "3", "--n_prompts", "64", "--device", "cpu",
]  # fmt: skip
TASK = ["--task", "examples/my_tasks.py:Quadratic"]
METRIC = ["--metric", "examples/my_metrics.py:within_tenth"]


@pytest.fixture
def run(call, tmp_path, monkeypatch):
    """Run a command in the project's folder; what it keeps, it keeps in the test's own."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    monkeypatch.chdir(ROOT)
    yield lambda command, *argv: call(command, *argv, "--runs_dir", str(tmp_path / "runs"))
    for number, handler in handlers.items():
        signal.signal(number, handler)


def runs_in(store):
    experiment_id = store.get_experiment_by_name("test").experiment_id
    runs = load.read_runs(store, experiment_id)
    return runs, load.baseline_nmse(store, experiment_id, runs)


def test_a_task_a_size_and_a_metric_go_from_training_to_store(run, store):
    options = ["--task_options", "scale=2", "--size", "1x1x8x16", "--b", "2"]
    code, lines = run(train, *TASK, *options, *SHORT)
    assert code == 0, lines
    (model,) = store.search_registered_models()
    assert model.name.startswith("looped-Quadratic-")
    reference = f"models:/{model.name}@best"
    evaluation = ["--model", reference, "--b_max", "4", "--n_prompts", "64"]
    code, lines = run(evaluate_extrapolation, *evaluation, *METRIC)
    assert code == 0, lines
    assert "within_tenth-" in lines[0]
    ((logged_run,), baselines) = runs_in(store)
    assert logged_run.task.partition(" ")[2] == "n_dims=2 scale=2"
    assert logged_run.config.size == "1x1x8x16"
    names = {"nearest_neighbours", "least_squares", "bayes"}
    assert set(baselines[logged_run.run_id]) == names
    shares = {
        name: value
        for name, value in logged_run.metrics.items()
        if name.startswith(Metric.OWN) and not name.endswith("_se")
    }
    assert len(shares) == 1
    assert all(0 <= share <= 1 for share in shares.values())


@pytest.mark.slow
def test_worker_processes_of_a_grid_find_the_task(run, store):
    lists = ["--task_options", "scale=1,scale=2", "--sizes", "1x1x8x16,1x1x8x32", "--bs", "1,2"]
    code, lines = run(grid, *TASK, *lists, "--seeds", "1", "--workers", "2", *SHORT)
    assert code == 0, lines
    runs, _ = runs_in(store)
    assert len(runs) == 8
    assert {run.task.partition(" ")[2] for run in runs} == {
        "n_dims=2 scale=1", "n_dims=2 scale=2"
    }  # fmt: skip
