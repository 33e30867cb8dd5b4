"""A model's evaluation beside its baselines, as files: tables and a figure."""

import csv
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path
from typing import Any

from looped.evaluation.baseline_scores import Scores, score_baselines
from looped.evaluation.behaviour import say
from looped.records.damage import one_line
from looped.records.record_rules import CHANGES
from looped.tasks.task_config import TaskConfig

logger = logging.getLogger("looped")


def compare(
    folder: Path,
    name: str,
    b: int,
    task: TaskConfig,
    n_examples: int,
    record: Mapping[str, Any],
    cache: Path,
) -> Scores:
    """Score the baselines on a model's prompts and write ``evaluation/``: tables and a figure.

    Args:
        folder: of the model.
        name: of the model.
        b: the loop count that it was trained at.
        task: the function class.
        n_examples: in-context examples N.
        record: of the model's evaluation, ``Evaluation.record``.
        cache: folder that keeps the scores for the next model of the task.

    Returns:
        The scores; none where the task is somebody's own and is not here, which is said.
    """
    n_loops = len(record["loops"]["nmse"])
    scores: Scores = {}
    if task.lack:
        logger.warning("%s: its baselines are left out: %s", name, task.lack)
    else:
        scores = score_baselines(task, n_examples, n_loops, record["n_prompts"], cache)
    _write(folder / "evaluation", name, b, record, scores)
    return scores


def _write(folder: Path, name: str, b: int, record: Mapping[str, Any], scores: Scores) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    loops = {
        name: ["", *curve] if name.endswith(CHANGES) else curve
        for name, curve in record["loops"].items()
    }
    rows = zip_longest(*loops.values(), fillvalue="")
    write_csv(folder / "loops.csv", ["loop", *loops], [(i, *row) for i, row in enumerate(rows, 1)])
    if record["examples"]:
        header = ["examples", f"nmse_after_{b}_loops"]
        write_csv(folder / "examples.csv", header, list(enumerate(record["examples"])))

    model = record["loops"]["nmse"][min(b, len(record["loops"]["nmse"])) - 1]
    baseline_rows = []
    for baseline, score in scores.items():
        for step, (nmse, se) in enumerate(zip(score["nmse"], score["nmse_se"], strict=True), 1):
            label = f"{baseline}, step {step}" if len(score["nmse"]) > 1 else baseline
            baseline_rows.append((label, nmse, se, model, model / nmse if nmse > 0 else ""))
    header = ["baseline", "nmse", "nmse_se", f"model_nmse_after_{b}_loops", "model_over_baseline"]
    write_csv(folder / "baselines.csv", header, baseline_rows)

    _draw(folder / "extrapolation", name, b, record, scores)


def _draw(path: Path, name: str, b: int, record: Mapping[str, Any], scores: Scores) -> None:
    """Draw the evaluation; a training does not fail for a picture that cannot be drawn."""
    title = f"{name}, {record['n_prompts']:,} held-out prompts"
    try:
        from looped.drawing import save
        from looped.evaluation import figures

        summary, dynamics = record.get("summary", {}), record.get("dynamics")
        band = (
            (round(summary["band_first"]), round(summary["band_last"]))
            if "band_first" in summary
            else None
        )
        remark = say(dynamics) if dynamics else ""
        save(figures.extrapolation(title, b, record["loops"], scores, band, remark), path)
    except Exception as error:
        reason = one_line(error)
        for suffix in (".svg", ".png"):  # half of one is no picture
            with suppress(OSError):
                path.with_suffix(suffix).unlink()
        logger.warning("%s: its figure could not be drawn, the numbers are kept: %s", name, reason)


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write a header and rows."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
