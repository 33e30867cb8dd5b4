"""report, from its arguments to what MLflow holds."""

import os
from pathlib import Path

import planted_study
import pytest
from planted_study import log_training

from analysis.answers.lengths.claims import ALL_CLAIMS
from analysis.claims.claims import CLAIMS
from analysis.claims.hypotheses import HYPOTHESES
from analysis.claims.rules import rules_digests
from analysis.report import files
from entrypoints import report
from looped.config import TrainConfig

QUICK = ("--resamples", "100")
SMALL = TrainConfig(size="small", b=5, seed=7)


@pytest.fixture(autouse=True)
def without_rendering(monkeypatch):
    """Leave a figure's two files, which take seconds to render, nearly empty."""

    def save(figure, path):
        for suffix in (".svg", ".png"):
            path.with_suffix(suffix).write_text(f"{len(figure.axes)} panels")

    monkeypatch.setattr(files, "save", save)


def report_run(client):
    experiment = os.environ["MLFLOW_EXPERIMENT_ID"]
    (run,) = client.search_runs([experiment], "tags.`looped.kind` = 'report'")
    return run


def artifacts(client, run_id, path="report"):
    paths = []
    for file in client.list_artifacts(run_id, path):
        paths += artifacts(client, run_id, file.path) if file.is_dir else [file.path]
    return {path.removeprefix("report/") for path in paths}


def test_a_study_becomes_a_run_with_files_counts_and_a_note(call, planted_store, tmp_path):
    out = tmp_path / "out"
    code, lines = call(report, *QUICK, "--out", str(out))
    assert code == 0, lines
    assert lines[0].startswith("linear: 36 runs of recipe")
    assert "missing: linear: training curves: 36 of 36 runs have none" in lines
    assert lines[-1].startswith("linear: Training at 15 loops instead of one divides the error of ")
    run = report_run(planted_store)
    assert (run.info.run_name, run.info.status) == ("report", "FINISHED")
    paths = artifacts(planted_store, run.info.run_id)
    figure_names = {"performance", "extrapolation", "beyond", "law", "cost", "pareto"}
    assert paths >= {
        f"linear/{name}.{kind}" for name in figure_names for kind in ("svg", "png", "csv")
    }
    assert paths >= {"report.html", "captions.json", "claims.csv", "across_tasks.svg"}
    assert paths == {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    metrics, tags = run.data.metrics, run.data.tags
    assert (metrics["report/runs"], metrics["report/tasks"]) == (36, 1)
    verdicts = ("supported", "contradicted", "undecided", "not_measured")
    assert sum(metrics[f"claims/{verdict}"] for verdict in verdicts) == len(CLAIMS)
    assert metrics["hypotheses/not_measured"] <= len(HYPOTHESES)
    assert tags["claim.linear.quality-grows-with-size"] == "supported"
    assert (tags["task"], tags["recipe"]) == (
        "linear",
        SMALL.resolved("cpu", "fp32").recipe_identity,
    )
    note = tags["mlflow.note.content"]
    assert "| At equal b the larger model is better" in note
    assert lines[-1].removeprefix("linear: ") in note
    assert "claims and hypotheses have an interval" in note
    assert "claims' rules" not in note  # these runs are of no grid
    assert run.data.params["report.resamples"] == "100"


@pytest.mark.parametrize(
    ("kept_rules", "says"),
    [(rules_digests(ALL_CLAIMS), "the same"), ("0" * 12 + " " + "0" * 12, "have changed since")],
)
def test_a_report_says_whether_the_rules_are_those_from_before_the_grid(
    call, store, kept_rules, says
):
    experiment = os.environ["MLFLOW_EXPERIMENT_ID"]
    parent = store.create_run(experiment, tags={"looped.claim_rules": kept_rules}).info.run_id
    for seed in (1, 2):
        config = planted_study.replace(SMALL, seed=seed)
        log_training(store, experiment, config, 2.0, **{"mlflow.parentRunId": parent})
    code, lines = call(report, *QUICK)
    assert code == 0, lines
    (line,) = [line for line in lines if line.startswith("The claims' rules, against those kept")]
    assert f"{says} (2 trainings)" in line
    assert line in report_run(store).data.tags["mlflow.note.content"]


def test_a_section_per_task_and_recipes_left_out_are_said(call, store):
    experiment = os.environ["MLFLOW_EXPERIMENT_ID"]
    for seed in (1, 2):
        for b in (1, 5):
            config = planted_study.replace(SMALL, b=b, seed=seed)
            log_training(store, experiment, config, 2.0 + 0.1 * b)
    tasks = ("decision_tree", "noisy_linear", "sparse_linear")
    for task in tasks:  # with more verdicts than MLflow takes tags in a call
        log_training(store, experiment, planted_study.replace(SMALL, task=task), 1.5)
    log_training(store, experiment, planted_study.replace(SMALL, steps=300), 1.5)
    code, lines = call(report, *QUICK)
    assert code == 0, lines
    assert "Left out: 1 run of recipe" in lines[0]
    assert [line.split(":")[0] for line in lines[1:4]] == list(tasks)
    run = report_run(store)
    paths = artifacts(store, run.info.run_id)
    assert {"linear/performance.csv", "noisy_linear/performance.csv"} <= paths
    assert run.data.metrics["report/tasks"] == 4
    verdicts = [name for name in run.data.tags if name.startswith("claim.")]
    assert len(verdicts) == 4 * (len(CLAIMS) + len(HYPOTHESES))
    assert "| claim | linear | decision_tree |" in run.data.tags["mlflow.note.content"]


@pytest.mark.parametrize(
    ("n_loops", "reason"),
    [(5, "extrapolation beyond b: no run was evaluated"), (2, "no run is evaluated")],
)
def test_one_run_is_enough_and_what_it_lacks_is_said(call, store, n_loops, reason):
    experiment = os.environ["MLFLOW_EXPERIMENT_ID"]
    run_id = log_training(store, experiment, SMALL, 2.0, n_loops=n_loops)
    for step in (1, 25):
        store.log_metric(run_id, "train/loss", 1 / step, step=step)
        store.log_metric(run_id, "train/query_error", 1 / step, step=step)
    code, lines = call(report, *QUICK)
    assert code == 0, lines
    assert any(reason in line for line in lines)
    paths = artifacts(store, report_run(store).info.run_id)
    assert {"report.html", "linear/loss-small.svg", "linear/cost.svg"} <= paths
    assert ("linear/extrapolation.svg" in paths) == (n_loops == 5)


def test_only_plateaued_runs_are_drawn_too(call, store):
    experiment = os.environ["MLFLOW_EXPERIMENT_ID"]
    for b in (1, 5):
        config = planted_study.replace(SMALL, b=b)
        log_training(store, experiment, config, 0.01, plateau="true")
    code, lines = call(report, *QUICK)
    assert code == 0, lines
    assert "2 plateaued, drawn apart" in lines[0]
    assert report_run(store).data.metrics["report/plateaued"] == 2


def test_nothing_to_report_is_one_line_and_the_launcher_knows(call, store, monkeypatch):
    launching_run_id = store.create_run(os.environ["MLFLOW_EXPERIMENT_ID"]).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", launching_run_id)
    code, lines = call(report)
    assert code == 1
    assert lines == ["report: the experiment must hold finished trainings, got none"]
    assert "must hold finished" in store.get_run(launching_run_id).data.tags["looped.reason"]


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (("--bs", "1,x"), "report: bs must be whole numbers of at least 1, as 1,5,10, got 1,x"),
        (("--sizes", "tiny,,"), "report: sizes must be words with commas between them, got tiny,,"),
        (("--resamples", "9"), "report: resamples must be a whole number of at least 100, got 9"),
    ],
)
def test_a_bad_argument_is_refused_in_a_line(call, argv, line):
    assert call(report, *argv) == (2, [line])


def test_style_and_page_are_installed():
    import tomllib

    root = Path(__file__).parents[2]
    setup = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert "analysis*" in setup["packages"]["find"]["include"]
    shipped_files = set(setup["package-data"]["analysis.report"])
    files_beside = {path.name for path in (root / "analysis/report").iterdir() if path.is_file()}
    assert shipped_files == {name for name in files_beside if not name.endswith(".py")}
