"""Tells MLflow of a fitted law and its answers: parameters and intervals, criteria, files."""

import math
from collections.abc import Mapping
from pathlib import Path

from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking import MlflowClient

from analysis.answers.answers import Answers
from analysis.answers.joint_law import JointFit

KIND = "fit"
_BATCH = 1000


def log_answers(
    client: MlflowClient,
    run_id: str,
    answers: Answers,
    options: Mapping[str, object],
    folder: Path,
    time_ms: int,
) -> None:
    """Log a fitted law to a run.

    Args:
        client: of the store.
        run_id: the run of the fit.
        answers: what follows from it.
        options: how it was asked for; logged as ``fit.<name>``.
        folder: from ``answers.files.write``; becomes the artifacts ``scaling/``.
        time_ms: milliseconds since 1970.
    """
    first, fit = answers.selection.runs[0], answers.fit
    tags = {
        "looped.kind": KIND,
        "task": first.config.task,
        "recipe": first.config.recipe_identity,
        "form": fit.best_form,
        "status": fit.status.name,
        "mlflow.note.content": (
            f"**{fit.best.sized_form.form.formula}** ({fit.best_form}, {fit.status.name})\n\n"
            f"{answers.selection.account}.\n\n{fit.verdict}\n\nThe whole: `scaling/fit.txt`."
        ),
    }
    params = {f"fit.{name}": value for name, value in options.items()} | {
        "law.form": fit.best_form,
        "law.formula": fit.best.sized_form.form.formula,
        "law.sizes": ",".join(fit.run_table.sizes),
        "law.bs": ",".join(f"{b:g}" for b in fit.run_table.bs),
    }
    metrics = [
        Metric(name, value, time_ms, 0)
        for name, value in _metrics(answers).items()
        if math.isfinite(value)
    ]
    client.log_batch(
        run_id,
        params=[Param(name, str(value)) for name, value in params.items()],
        tags=[RunTag(name, value) for name, value in tags.items()],
    )
    for start in range(0, len(metrics), _BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + _BATCH])
    client.log_artifacts(run_id, str(folder), "scaling")


def _metrics(answers: Answers) -> dict[str, float]:
    fit = answers.fit
    values: dict[str, float] = {
        "fit/runs": len(fit.run_table.values),
        "fit/plateaued_left_out": answers.selection.n_plateaued,
        "fit/unconverged": answers.selection.n_unconverged,
        "fit/residual_sd": fit.best.residual_sd,
        "fit/aicc": fit.best.aicc,
    }
    tables = {"law": fit.best.parameters()}
    if isinstance(answers.joint, JointFit):
        tables["joint"] = answers.joint.parameters
    for kind, table in tables.items():
        for row in table.to_dict("records"):
            plain_name = row["name"].replace("[", ".").rstrip("]")  # MLflow takes no brackets
            name = f"{kind}/{plain_name}"
            values |= {name: row["value"], f"{name}/lower": row["lower"]}
            values[f"{name}/upper"] = row["upper"]
    for row in fit.comparison.to_dict("records"):
        for what in ("delta", "weight", "leave_one_b_out", "leave_one_size_out"):
            values[f"forms/{row['form']}/{what}"] = row[what]
            if row["form"] == fit.best_form:
                values[f"fit/{what}"] = row[what]
    for (size, target), crossing in answers.exchange.items():
        values[f"exchange/{size}_to_{target}"] = crossing.b
    for size, crossing in answers.worthwhile.items():
        values[f"worthwhile/{size}"] = crossing.b
    return values
