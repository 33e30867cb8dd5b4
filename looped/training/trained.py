"""A trained model: evaluated, judged and kept."""

import html
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial

from looped import tasks
from looped.config import TrainConfig
from looped.counting import counted
from looped.evaluation.dynamics import with_dynamics
from looped.evaluation.evaluation import Evaluation, by_prompt
from looped.evaluation.held_out import evaluate, evaluate_further
from looped.model import LoopedTransformer
from looped.names import Metric, Tag
from looped.records.journal import Record
from looped.records.model_files import save_model
from looped.records.record_rules import KEPT_PROMPTS
from looped.training.curve import DivergedError, TrainingCurve
from looped.training.outcome import (
    affordable_prompts,
    assess,
    facts,
    final_prompts,
    require_finite,
)
from looped.training.training_run import TrainingRun
from looped.training.watcher import Stopped, Watcher

Columns = dict[str, list[int | float]]


@dataclass(frozen=True)
class Trained:
    """A finished training: the model, its curve and what it came to.

    Attributes:
        model: with the last step's weights.
        config: resolved.
        curve: of the training.
        evaluation: of ``model`` on held-out prompts.
        outcome: metrics.
        tags: verdicts.
        tail_model: with the mean of the weights over the last tenth; None where it was not kept.
        tail_evaluation: of it, on the same prompts.
        learning_curve: the samples of the training in columns, all of one length: ``step``,
            ``loss``, ``query_error`` (NMSE of the training prompts), ``grad_norm`` and
            ``learning_rate``; ``pandas.DataFrame`` takes it.
    """

    model: LoopedTransformer
    config: TrainConfig
    curve: TrainingCurve
    evaluation: Evaluation
    outcome: dict[str, float]
    tags: dict[str, str]
    tail_model: LoopedTransformer | None = None
    tail_evaluation: Evaluation | None = None
    learning_curve: Columns = field(default_factory=dict)

    def __repr__(self) -> str:
        values = self.outcome
        return (
            f"Trained({self.config.name}: NMSE {values[Metric.NMSE]:.4g} "
            f"± {values[Metric.NMSE_SE]:.2g} ({values[Metric.BITS]:.2f} bits) after "
            f"{counted(self.config.b, 'loop')}, {counted(self.curve.step, 'step')})"
        )

    def _repr_html_(self) -> str:
        """Return a table for notebooks."""
        config, values = self.config, self.outcome
        cells = {
            **{name: getattr(config, name) for name in ("size", "b", "seed", "task", "steps")},
            "NMSE": f"{values[Metric.NMSE]:.4g} ± {values[Metric.NMSE_SE]:.2g}",
            "bits": f"{values[Metric.BITS]:.3f}",
            "held-out prompts": f"{values[Metric.PROMPTS]:,.0f}",
        }
        heads = "".join(f"<th>{html.escape(name)}</th>" for name in cells)
        row = "".join(f"<td>{html.escape(str(value))}</td>" for value in cells.values())
        return f"<table><tr>{heads}</tr><tr>{row}</tr></table>"


def learning_curve_of(records: Iterable[Record]) -> Columns:
    """Put the samples of a journal's records into columns, by their names without a family.

    Example:
        >>> sample = {"kind": "metrics", "step": 5, "values": {"train/loss": 0.5}}
        >>> learning_curve_of([sample])
        {'step': [5], 'loss': [0.5]}
    """
    columns: Columns = {}
    for record in records:
        if record["kind"] == "metrics":
            columns.setdefault("step", []).append(record["step"])
            for name, value in record["values"].items():
                if name.startswith(Metric.TRAIN):
                    columns.setdefault(name.removeprefix(Metric.TRAIN), []).append(value)
    return columns


def result_of(
    run: TrainingRun, b_max: int, watcher: Watcher, n_prompts: int | None
) -> Trained | DivergedError:
    """Evaluate and keep a trained model, or say why there is none.

    Args:
        run: taken to its last step, or given up.
        b_max: evaluate to so many loops, at least to its b, which an untied model ends at; 0
            keeps no curve of it.
        watcher: is told of each batch; may stop it.
        n_prompts: how many to evaluate on; as many as the training affords if None.

    Raises:
        Stopped: the watcher said so.
    """
    if run.error is None:
        try:
            return _evaluate_and_keep(run, b_max, watcher, n_prompts)
        except DivergedError as error:
            return run.give_up(error)
    return run.error


def _evaluate_and_keep(
    run: TrainingRun,
    b_max: int,
    watcher: Watcher,
    n_prompts: int | None,
) -> Trained:
    """Evaluate a trained model, say how its training went, and keep both."""
    config, curve = run.config, run.curve
    n_prompts = n_prompts or affordable_prompts(config)
    n_final = final_prompts(config, n_prompts)
    tail_model, tail_evaluation = run.tail_model, None
    n_in_all = n_final * (1 if tail_model is None else 2)

    def progress(prompts_done: int, before: int = 0) -> None:
        watcher.evaluated(config, before + prompts_done, n_in_all)
        if watcher.should_stop():
            raise Stopped(f"stopped while evaluating, {prompts_done} prompts done")

    task = tasks.from_config(config.task_config)
    n_loops = config.loops_up_to(b_max)

    def evaluation_of(model: LoopedTransformer, before: int = 0) -> Evaluation:
        on_device, on_batch = model.to(config.device), partial(progress, before=before)
        evaluation = evaluate(on_device, task, n_loops, n_prompts, on_batch, config.kernels)
        evaluation = evaluate_further(
            on_device, task, config.b, evaluation, n_final, on_batch, config.kernels
        )
        require_finite(evaluation)
        return with_dynamics(on_device, task, config.b, evaluation)

    evaluation = evaluation_of(run.model)
    if tail_model is not None:
        try:
            tail_evaluation = evaluation_of(tail_model, before=n_final)
        except DivergedError:  # of weights that never were a step's: it takes no training along
            tail_model = None
    outcome, tags = assess(evaluation, tail_evaluation, config, curve, run.journal.history())
    if b_max > 0:
        record = evaluation.record(config.b, tail_evaluation)
        if run.folder is not None:
            kept_errors = by_prompt(
                evaluation, tail_evaluation, config.task_config, config.n_examples, config.b
            )
            record[KEPT_PROMPTS] = kept_errors.save(run.folder.path / "evaluation")
        run.journal.append("evaluation", step=curve.step, **record)
    advice = {"advice": run.last_good} if tags[Tag.DIVERGED] == "true" else {}
    run.journal.append("outcome", step=curve.step, values=outcome, tags=tags, **advice)
    if run.folder is not None:
        path = run.folder.path / "model"
        save_model(path, run.model, facts(config, outcome), tail_model)
    samples = learning_curve_of(run.journal.history())
    return Trained(
        run.model, config, curve, evaluation, outcome, tags, tail_model, tail_evaluation, samples
    )
