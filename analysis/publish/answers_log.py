"""Tells MLflow of a fitted law and its answers: parameters and intervals, criteria, files."""

import math
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from mlflow import entities
from mlflow.entities import RunTag
from mlflow.tracking import MlflowClient

from analysis.answers.answers import Answers
from analysis.answers.flops import KINDS
from analysis.answers.joint_law import JointFit
from analysis.scaling.fit import ScalingFit
from looped.names import Kind, Metric, Param, Tag
from looped.tracking.runs import log_in_batches


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
        Tag.KIND: Kind.FIT,
        Tag.TASK: first.config.task_config.word,
        Tag.RECIPE: first.config.recipe_identity,
        Tag.FORM: fit.best_form,
        Tag.STATUS: fit.status.name,
        Tag.NOTE: (
            f"**{fit.best.sized_form.form.formula}** ({fit.best_form}, {fit.status.name})\n\n"
            f"{answers.selection.account}.\n\n{fit.verdict}\n\nThe whole: `scaling/fit.txt`."
        ),
    }
    params = {Param.FIT + name: value for name, value in options.items()} | law_params(fit)
    finite_metrics = [
        entities.Metric(name, value, time_ms, 0)
        for name, value in metrics(answers).items()
        if math.isfinite(value)
    ]
    client.log_batch(
        run_id, params=[entities.Param(name, str(value)) for name, value in params.items()]
    )
    run_tags = [RunTag(name, value) for name, value in tags.items()]
    log_in_batches(client, run_id, finite_metrics, run_tags)
    client.log_artifacts(run_id, str(folder), "scaling")


def law_params(fit: ScalingFit) -> dict[str, str]:
    """Name the words of a law as they are logged."""
    return {
        Param.LAW + "form": fit.best_form,
        Param.LAW + "formula": fit.best.sized_form.form.formula,
        Param.LAW + "sizes": ",".join(fit.run_table.sizes),
        Param.LAW + "bs": ",".join(f"{b:g}" for b in fit.run_table.bs),
    }


def metrics(answers: Answers) -> dict[str, float]:
    """Name the numbers of a law and its answers as they are logged; some may be NaN or infinite."""
    values: dict[str, float] = {
        Metric.FIT + "plateaued_left_out": answers.selection.n_plateaued,
        Metric.FIT + "diverged_left_out": answers.selection.n_diverged,
        Metric.FIT + "unconverged": answers.selection.n_unconverged,
    }
    for size, crossing in answers.worthwhile.items():
        values[Metric.WORTHWHILE + size] = crossing.b
    return values | law_metrics(answers.fit, answers.joint) | _flops_metrics(answers)


def law_metrics(fit: ScalingFit | str, joint: JointFit | str) -> dict[str, float]:
    """Name the numbers of the law of b and of the joint law; a law that is text has none."""
    values: dict[str, float] = {}
    tables: dict[str, pd.DataFrame] = {}
    if isinstance(fit, ScalingFit):
        values = {
            Metric.FIT + "runs": len(fit.run_table.values),
            Metric.FIT + "residual_sd": fit.best.residual_sd,
            Metric.FIT + "aicc": fit.best.aicc,
        }
        tables[Metric.LAW] = fit.best.parameters()
        values |= _form_metrics(fit)
    if isinstance(joint, JointFit):
        tables[Metric.JOINT] = joint.parameters
    for family, table in tables.items():
        for row in table.to_dict("records"):
            plain_name = row["name"].replace("[", ".").rstrip("]")  # MLflow takes no brackets
            name = family + plain_name
            values |= {name: row["value"], f"{name}/lower": row["lower"]}
            values[f"{name}/upper"] = row["upper"]
    return values | _joint_metrics(joint)


def _form_metrics(fit: ScalingFit) -> dict[str, float]:
    values: dict[str, float] = {}
    for row in fit.comparison.to_dict("records"):
        for what in ("delta", "weight", "leave_one_b_out", "leave_one_size_out"):
            values[f"{Metric.FORMS}{row['form']}/{what}"] = row[what]
            if row["form"] == fit.best_form:
                values[Metric.FIT + what] = row[what]
    return values


def _joint_metrics(joint: JointFit | str) -> dict[str, float]:
    """Whether the joint law fits, and its phi without each size."""
    if isinstance(joint, str):
        return {}
    by_sizes = joint.phi_by_sizes[joint.phi_by_sizes["left_out"] != ""]
    return {
        Metric.JOINT + "lack_of_fit": joint.lack_of_fit,
        Metric.JOINT + "lack_of_fit_alike": joint.lack_of_fit_alike,
    } | {
        f"{Metric.JOINT}phi/without_{row['left_out']}": row["phi"]
        for row in by_sizes.to_dict("records")
    }


def _flops_metrics(answers: Answers) -> dict[str, float]:
    """Exchange rates in loops and FLOPs; the bits that a doubling of the FLOPs buys in loops."""
    values = {}
    for (size, target), crossing in answers.exchange.items():
        name = f"{Metric.EXCHANGE}{size}_to_{target}"
        values[name] = crossing.b
        for kind, ratio in answers.exchange_flops[size, target].items():
            values[f"{name}/{kind}_flops_ratio"] = ratio.value
    doublings = answers.doublings
    for row in doublings[doublings["size"] == doublings["to_size"]].to_dict("records"):
        for kind in KINDS:
            name = f"{Metric.DOUBLING}{kind}/{row['size']}_b{row['b']}"
            values |= {name: row[f"{kind}_bits"], f"{name}/lower": row[f"{kind}_lower"]}
            values[f"{name}/upper"] = row[f"{kind}_upper"]
    return values
