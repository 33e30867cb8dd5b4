"""Tells MLflow of a fitted law: parameters and intervals, criteria, files."""

import math
from collections.abc import Mapping
from pathlib import Path

from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking import MlflowClient

from analysis.answers.answers import Study
from analysis.answers.joint_law import JointFit

KIND = "fit"
_BATCH = 1000


def log_study(
    client: MlflowClient,
    run_id: str,
    study: Study,
    options: Mapping[str, object],
    folder: Path,
    when: int,
) -> None:
    """Log a fitted law to a run.

    Args:
        client: of the store.
        run_id: the run of the fit.
        study: what was found.
        options: how it was asked for; logged as ``fit.<name>``.
        folder: from ``study_files.write``; becomes the artifacts ``scaling/``.
        when: milliseconds since 1970.
    """
    first, fit = study.selection.runs[0], study.fit
    tags = {
        "looped.kind": KIND,
        "task": first.config.task,
        "recipe": first.config.recipe_identity,
        "form": fit.chosen,
        "status": fit.status.name,
        "mlflow.note.content": (
            f"**{fit.best.law.form.formula}** ({fit.chosen}, {fit.status.name})\n\n"
            f"{study.selection.account}.\n\n{fit.verdict}\n\nThe whole: `scaling/report.txt`."
        ),
    }
    params = {f"fit.{name}": value for name, value in options.items()} | {
        "law.form": fit.chosen,
        "law.formula": fit.best.law.form.formula,
        "law.sizes": ",".join(fit.points.sizes),
        "law.bs": ",".join(f"{b:g}" for b in fit.points.bs),
    }
    metrics = [
        Metric(name, value, when, 0)
        for name, value in _metrics(study).items()
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


def _metrics(study: Study) -> dict[str, float]:
    fit = study.fit
    values: dict[str, float] = {
        "fit/runs": len(fit.points.values),
        "fit/plateaued_left_out": study.selection.plateaued,
        "fit/unconverged": study.selection.unconverged,
        "fit/residual_sd": fit.best.residual_sd,
        "fit/aicc": fit.best.aicc,
    }
    tables = {"law": fit.best.parameters()}
    if isinstance(study.joint, JointFit):
        tables["joint"] = study.joint.parameters
    for kind, table in tables.items():
        for row in table.to_dict("records"):
            plain = row["name"].replace("[", ".").rstrip("]")  # MLflow takes no brackets
            name = f"{kind}/{plain}"
            values |= {name: row["value"], f"{name}/lower": row["lower"]}
            values[f"{name}/upper"] = row["upper"]
    for row in fit.comparison.to_dict("records"):
        for what in ("delta", "weight", "leave_one_b_out", "leave_one_size_out"):
            values[f"forms/{row['form']}/{what}"] = row[what]
            if row["form"] == fit.chosen:
                values[f"fit/{what}"] = row[what]
    for (size, target), crossing in study.exchange.items():
        values[f"exchange/{size}_to_{target}"] = crossing.b
    for size, crossing in study.worthwhile.items():
        values[f"worthwhile/{size}"] = crossing.b
    return values
