"""Training: one loop, which can stop anywhere and go on as if it had not.

Trainings of one shape run as one program (see ``replicas``); a single one is the case of one.
"""

import time
from collections.abc import Sequence
from copy import deepcopy
from itertools import groupby
from uuid import uuid4

import torch
from torch import Tensor

from looped import tasks
from looped.config import TrainConfig
from looped.model import LoopedTransformer
from looped.records.checkpoint import load_checkpoints, save_checkpoint
from looped.records.folder import RunFolder
from looped.records.journal import Journal
from looped.records.record_rules import DECIDED
from looped.training.cuda_graph import step_of
from looped.training.curve import DivergedError, TrainingCurve
from looped.training.memory import PeakMemory
from looped.training.progress import Progress
from looped.training.replicas import Replicas
from looped.training.resolve import resolve
from looped.training.stacked_model import named_views
from looped.training.trained import Trained, result_of
from looped.training.training_run import TrainingRun
from looped.training.watcher import SILENT, Stopped, Watcher


def seeded_model(config: TrainConfig) -> LoopedTransformer:
    """Build the model whose initial weights the seed decides: the same at every ``b``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return LoopedTransformer.from_config(config.model_config, config.init)


def train(
    config: TrainConfig,
    folder: RunFolder | None = None,
    watcher: Watcher | None = None,
    b_max: int = 0,
    n_prompts: int | None = None,
) -> Trained:
    """Train one model, evaluate it on held-out prompts, and record both.

    Args:
        config: what to train; see its fields.
        folder: where to keep journal and checkpoints; a training begun there goes on from its
            last checkpoint. Nothing is kept if None.
        watcher: is told of each sample of the curve and each batch of the evaluation; may stop
            the training. If None, a bar or lines on standard error show how it goes;
            ``watcher.SILENT`` shows nothing.
        b_max: evaluate the trained model to so many loops, at least to ``b``.
        n_prompts: how many to evaluate on; as many as the training affords if None.

    Raises:
        Stopped: the watcher said so; a checkpoint is saved.
        DivergedError: the loss became infinite or NaN.
        ValueError: the configuration asks for what this machine lacks.

    Example:
        >>> from looped import TrainConfig, train
        >>> config = TrainConfig(size="tiny", b=3, n_dims=2, n_examples=5, steps=10)
        >>> trained = train(config, b_max=4)
        >>> trained.curve.step
        10
        >>> len(trained.evaluation.nmse)  # an error after each loop, one beyond b too
        4
    """
    observer = Progress() if watcher is None else watcher
    (result,) = train_together([config], [folder], observer, b_max, n_prompts)
    if isinstance(result, DivergedError):
        raise result
    return result


def train_together(
    configs: Sequence[TrainConfig],
    folders: Sequence[RunFolder | None],
    watcher: Watcher = SILENT,
    b_max: int = 0,
    n_prompts: int | None = None,
) -> list[Trained | DivergedError]:
    """Run trainings of one shape as one program, where they can go on from a common step.

    Args:
        configs: of the trainings; every two must be able to share a program
            (``groups.can_share``).
        folders: where each is kept; see ``train``.
        watcher: of all of them; see ``train``.
        b_max: evaluate the trained models to so many loops, at least to their ``b``.
        n_prompts: see ``train``.

    Returns:
        What became of each training, in their order: one that diverges takes no other along.

    Raises:
        Stopped: the watcher said so; for all of them.
        ValueError: a configuration asks for what this machine lacks.
    """
    runs = [
        TrainingRun(
            config,
            folder,
            seeded_model(config),
            TrainingCurve(config.steps),
            Journal() if folder is None else folder.journal,
        )
        for config, folder in zip(map(resolve, configs), folders, strict=True)
    ]
    for group in _with_common_start(sorted(runs, key=lambda run: -run.config.b)):
        _train_as_fits(group, watcher)
    return [result_of(run, b_max, watcher, n_prompts) for run in runs]


def _with_common_start(runs: list[TrainingRun]) -> list[list[TrainingRun]]:
    """Choose each run's checkpoint; runs whose checkpoints share no step train apart."""
    checkpoints_of_runs = [
        {} if run.folder is None else {c.step: c for c in load_checkpoints(run.folder.checkpoints)}
        for run in runs
    ]
    common_steps = set.intersection(*map(set, checkpoints_of_runs))
    for run, checkpoints in zip(runs, checkpoints_of_runs, strict=True):
        run.checkpoint = checkpoints[max(common_steps or checkpoints)] if checkpoints else None
        state = run.checkpoint.state if run.checkpoint else {"n_steps": run.config.steps}
        run.curve = TrainingCurve.of_state(state)
    by_step = sorted(runs, key=lambda run: run.curve.step)  # keeps the order within a step
    return [list(group) for _, group in groupby(by_step, key=lambda run: run.curve.step)]


def _train_as_fits(
    runs: list[TrainingRun],
    watcher: Watcher,
) -> None:
    """Train runs that start at one step, in halves where the GPU's memory is too small."""
    try:
        _take_steps(runs, watcher)
    except torch.cuda.OutOfMemoryError:
        if len(runs) == 1:
            raise
    else:
        return
    torch.cuda.empty_cache()
    half = len(runs) // 2
    for part in (runs[:half], runs[half:]):
        for group in _with_common_start(part):
            _train_as_fits(group, watcher)


def _take_steps(runs: list[TrainingRun], watcher: Watcher) -> None:
    """Train runs that start at one step as one program, to the last step."""
    config = runs[0].config  # what it says of data, rate and records goes for all
    memory = PeakMemory(config.device)
    task = tasks.from_config(config.task_config)
    replicas = Replicas([run.model for run in runs], [run.config for run in runs])
    _restore(replicas, runs)
    first_step = runs[0].curve.step
    program = uuid4().hex[:12]
    way = {name: getattr(config, name) for name in DECIDED}
    for run in runs:
        shape = {"program": program, "replicas": len(runs), "threads": torch.get_num_threads()}
        run.journal.append("start", step=first_step, **shape, **way)
        watcher.began(run.config, first_step)
    take_step = step_of(replicas)
    measurements: list[Tensor] = []  # since the curves last took them in; read in one transfer
    sampled_at = saved_at = time.perf_counter()
    sampled_step = first_step

    for step in range(first_step + 1, config.steps + 1):
        rate = config.rate * min(1.0, step / max(1, config.warmup))
        drawn_loops = None if config.b_draw == "fixed" else config.loops_of_step(step - 1)
        measurements.append(take_step(_draw(task, runs, step - 1), rate, drawn_loops))
        replicas.average(step)

        is_sample = step == 1 or step % config.log_every == 0 or step == config.steps
        is_stop = watcher.should_stop()
        is_due = time.perf_counter() - saved_at >= config.checkpoint_seconds
        if is_sample or is_stop or is_due:
            for run, of_run in zip(runs, torch.stack(measurements, dim=1).tolist(), strict=True):
                run.take_in(of_run)
            measurements = []
        if is_sample:
            now = time.perf_counter()
            speed = (step - sampled_step) / (now - sampled_at)
            sampled_at, sampled_step = now, step
            peak_mib = memory.peak_mib()
            for run in runs:
                if run.error is None:
                    values = run.sample(rate, speed, peak_mib)
                    run.journal.append("metrics", step=step, values=values)
                    watcher.sampled(run.config, step, values)
        if is_due or is_stop or step == config.steps:
            _save(replicas, runs, is_stop)
            saved_at = time.perf_counter()
        if is_stop:
            raise Stopped(f"stopped after {step} of {config.steps} steps")
        if all(run.error for run in runs):
            break
    for row, run in enumerate(runs):
        run.model.load_state_dict(named_views(replicas.flat[row], run.model))
        run.tail_model = _tail_model(replicas, row, run.model)


def _tail_model(replicas: Replicas, row: int, model: LoopedTransformer) -> LoopedTransformer | None:
    """Return the model with the mean of a replica's weights over the tail, if there is one."""
    mean = replicas.tail_of(row)
    if mean is None:
        return None
    tail_model = deepcopy(model)
    tail_model.load_state_dict(named_views(mean, model))
    return tail_model


def _draw(task: tasks.Task, runs: Sequence[TrainingRun], step: int) -> tuple[Tensor, Tensor]:
    """Draw one step's prompts for every replica; replicas of one seed see the same ones."""
    config = runs[0].config
    size = (config.batch_size, config.n_examples + 1)
    seeds = dict.fromkeys(run.config.seed for run in runs)
    prompts = {seed: task.batch(seed, step, *size, device=config.device) for seed in seeds}
    xs, ys = zip(*(prompts[run.config.seed] for run in runs), strict=True)
    return torch.stack(xs), torch.stack(ys)


def _save(replicas: Replicas, runs: Sequence[TrainingRun], is_stop: bool) -> None:
    """Save a checkpoint of every run that is well and kept somewhere.

    One that is diverging keeps those from before, unless it stops and is to go on from here.
    """
    for tensors, run in zip(replicas.tensors(runs[0].model), runs, strict=True):
        is_well = run.error is None and (is_stop or run.curve.diverging_since is None)
        if run.folder is not None and is_well:
            run.journal.sync()
            save_checkpoint(run.folder.checkpoints, run.curve.step, tensors, run.curve.state())


def _restore(replicas: Replicas, runs: Sequence[TrainingRun]) -> None:
    """Put the runs' checkpoints into the program."""
    replicas.set_step(runs[0].curve.step)
    for row, run in enumerate(runs):
        if run.checkpoint is not None:
            replicas.restore(row, run.model, run.checkpoint.tensors)
