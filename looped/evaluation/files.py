"""A model's evaluation beside its baselines, as files: tables and a figure."""

import csv
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from looped.drawing import save
from looped.evaluation import figures
from looped.evaluation.baseline_scores import Scores, score_baselines
from looped.records.record_rules import STATE_CHANGE
from looped.task_kinds import TaskConfig


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
    """
    n_loops = len(record["loops"]["nmse"])
    scores = score_baselines(task, n_examples, n_loops, record["n_prompts"], cache)
    _write(folder / "evaluation", name, b, record, scores)
    return scores


def _write(folder: Path, name: str, b: int, record: Mapping[str, Any], scores: Scores) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    loops = {
        name: ["", *curve] if name.endswith(STATE_CHANGE) else curve
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

    title = f"{name}, {record['n_prompts']:,} held-out prompts"
    save(figures.extrapolation(title, b, record["loops"], scores), folder / "extrapolation")


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write a header and rows."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
