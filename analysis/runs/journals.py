"""Reads finished trainings from their folders, as ``results/`` keeps them; asks no MLflow."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from analysis.runs.logged_run import CURVES, LoggedRun
from looped.config import TrainConfig
from looped.names import Metric, Tag, Weights
from looped.records.damage import read_object
from looped.records.journal import Record, history, last_record, read
from looped.records.prompt_errors import FILE, PromptErrors, load_prompt_errors
from looped.training.convergence import with_convergence

DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
"""What reading a folder raises that is not as a training left it."""


def read_folder(root: Path) -> list[LoggedRun]:
    """Read the finished trainings of a folder, by rising name; what is damaged is passed over.

    Args:
        root: holds a folder for each training, as ``runs`` and ``results/h100`` do.

    Example:
        >>> read_folder(Path("a folder without trainings"))
        []
    """
    return list(_runs(root))


def _runs(root: Path) -> Iterator[LoggedRun]:
    for journal in sorted(root.glob("*/journal.jsonl")):
        try:
            run = read_training(journal.parent)
        except DAMAGE:
            continue
        if run is not None:
            yield run


def evaluation_of(folder: Path) -> Record | None:
    """Read what the newest evaluation of a training's folder recorded; None without one.

    Raises:
        DamagedFileError: the journal holds a line that is no record.
    """
    return last_record(folder / "journal.jsonl", "evaluation")


def with_tail(folder: Path, run: LoggedRun) -> LoggedRun | None:
    """Return a training with the curves of the mean of its last weights; None without them."""
    evaluation = evaluation_of(folder)
    if evaluation is None or f"{Metric.TAIL}nmse" not in evaluation["loops"]:
        return None
    curves = {name: evaluation["loops"][f"{Metric.TAIL}{name}"] for name in CURVES}
    state_change = evaluation["loops"].get(f"{Metric.TAIL}state_change", [])
    return replace(run, loops=curves, state_change=state_change, weights=Weights.TAIL)


def read_training(folder: Path) -> LoggedRun | None:
    """Read the training of a folder; None unless it finished.

    Raises:
        Exception: one of ``DAMAGE``, the folder is not as a training left it.
    """
    journal = folder / "journal.jsonl"
    records = history(read(journal)[0])
    if not records or records[-1]["kind"] != "end" or records[-1]["status"] != "FINISHED":
        return None
    config = TrainConfig(**read_object(journal.parent / "config.json")["config"])
    newest = {record["kind"]: record for record in records}
    outcome = with_convergence(newest.get("outcome", {"values": {}, "tags": {}}), records)
    evaluation: Record = newest.get("evaluation", {"loops": {}, "n_prompts": 0})
    samples = [record for record in records if record["kind"] == "metrics"]
    metrics: dict[str, float] = {}
    for record in (*samples, outcome):
        metrics |= record["values"]
    for family, values in ((Metric.EXTRAPOLATION, "summary"), (Metric.DYNAMICS, "dynamics")):
        metrics |= {family + name: value for name, value in evaluation.get(values, {}).items()}
    return LoggedRun(
        run_id=journal.parent.name,
        name=config.name,
        config=config,
        tags=_tags(config) | dict(outcome.get("tags", {})),
        loops={name: evaluation["loops"].get(name, []) for name in CURVES},
        prompts=evaluation["n_prompts"],
        state_change=evaluation["loops"].get("state_change", []),
        prediction_change=evaluation["loops"].get("prediction_change", []),
        metrics=metrics,
        training={
            "step": [record["step"] for record in samples],
            "loss": _curve(samples, Metric.LOSS),
            "query_error": _curve(samples, Metric.QUERY_ERROR),
        },
        speed=_curve(samples, Metric.STEPS_PER_S),
        prompt_errors=_prompt_errors(journal.parent / "evaluation" / FILE),
    )


def _prompt_errors(path: Path) -> PromptErrors | None:
    return load_prompt_errors(path) if path.exists() else None


def _curve(samples: list[Record], name: str) -> list[float]:
    return [record["values"][name] for record in samples]


def _tags(config: TrainConfig) -> dict[str, Any]:
    return {Tag.IDENTITY: config.identity, Tag.RECIPE: config.recipe_identity}
