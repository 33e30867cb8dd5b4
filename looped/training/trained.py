"""A trained model: evaluated, judged and kept."""

from dataclasses import dataclass

from looped import tasks
from looped.config import TrainConfig
from looped.evaluation.held_out import Evaluation, evaluate
from looped.model import LoopedTransformer
from looped.names import Tag
from looped.records.model_files import save_model
from looped.training.curve import DivergedError, TrainingCurve
from looped.training.outcome import affordable_prompts, assess, facts, require_finite
from looped.training.training_run import TrainingRun
from looped.training.watcher import Stopped, Watcher


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
    """

    model: LoopedTransformer
    config: TrainConfig
    curve: TrainingCurve
    evaluation: Evaluation
    outcome: dict[str, float]
    tags: dict[str, str]
    tail_model: LoopedTransformer | None = None
    tail_evaluation: Evaluation | None = None


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

    def progress(prompts_done: int) -> None:
        watcher.evaluated(config, prompts_done, n_prompts)
        if watcher.should_stop():
            raise Stopped(f"stopped while evaluating, {prompts_done} prompts done")

    task = tasks.from_config(config.task_config)
    n_loops = config.loops_up_to(b_max)

    def evaluation_of(model: LoopedTransformer) -> Evaluation:
        on_device = model.to(config.device)
        evaluation = evaluate(on_device, task, n_loops, n_prompts, progress, config.kernels)
        require_finite(evaluation)
        return evaluation

    evaluation = evaluation_of(run.model)
    tail_model, tail_evaluation = run.tail_model, None
    if tail_model is not None:
        try:
            tail_evaluation = evaluation_of(tail_model)
        except DivergedError:  # of weights that never were a step's: it takes no training along
            tail_model = None
    outcome, tags = assess(evaluation, tail_evaluation, config, curve, run.journal.history())
    if b_max > 0:
        record = evaluation.record(config.b, tail_evaluation)
        run.journal.append("evaluation", step=curve.step, **record)
    advice = {"advice": run.last_good} if tags[Tag.DIVERGED] == "true" else {}
    run.journal.append("outcome", step=curve.step, values=outcome, tags=tags, **advice)
    if run.folder is not None:
        path = run.folder.path / "model"
        save_model(path, run.model, facts(config, outcome), tail_model)
    return Trained(run.model, config, curve, evaluation, outcome, tags, tail_model, tail_evaluation)
