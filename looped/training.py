"""Training: one loop, which can stop anywhere and go on as if it had not."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from looped import tasks
from looped.checkpoint import load_checkpoint, save_checkpoint
from looped.config import TrainConfig
from looped.curves import PLATEAU_ABOVE, Curves
from looped.evaluation import Evaluation, evaluate
from looped.folder import RunFolder
from looped.journal import Journal
from looped.model import LoopedTransformer
from looped.weights import save_model

HELD_OUT_PROMPTS = 12_800
FEWEST_PROMPTS = 640


class Stopped(Exception):  # noqa: N818
    """The training was asked to stop; its checkpoint is written."""


@dataclass(frozen=True)
class Trained:
    """A finished training: the model, its curves and what it came to."""

    model: LoopedTransformer
    config: TrainConfig
    curves: Curves
    evaluation: Evaluation
    outcome: dict[str, float]
    tags: dict[str, str]


def resolve(config: TrainConfig) -> TrainConfig:
    """Decide what was left automatic: the device, the precision, the rate and the window.

    Raises:
        ValueError: a GPU is asked for where there is none.
    """
    has_cuda = torch.cuda.is_available()
    if config.device == "cuda" and not has_cuda:
        raise ValueError("device must be one that this machine has, got cuda without a GPU")
    device = config.device if config.device != "auto" else "cuda" if has_cuda else "cpu"
    automatic = "bf16" if device == "cuda" else "fp32"
    precision = automatic if config.precision == "auto" else config.precision
    return config.resolved(device, precision)


def seeded_model(config: TrainConfig) -> LoopedTransformer:
    """Build the model whose initial weights the seed decides: the same at every ``b``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return LoopedTransformer.from_config(config.model_config, config.init)


def train(
    config: TrainConfig,
    folder: RunFolder | None = None,
    watch: Callable[[int, Mapping[str, float]], None] = lambda step, values: None,
    should_stop: Callable[[], bool] = lambda: False,
    b_max: int = 0,
    watch_evaluation: Callable[[int, int], None] = lambda done, total: None,
) -> Trained:
    """Train one model, evaluate it on held-out prompts, and record both.

    The loss is the squared error averaged over the last T loops, the prompts and the queries
    (the truncated loss of Yang et al., arXiv:2311.12424).

    Args:
        config: what to train; see its fields.
        folder: where to keep journal and checkpoints; a training begun there goes on from its
            last checkpoint. Nothing is kept if None.
        watch: called with the step and the values of each point of the curve.
        should_stop: asked after every step; True saves a checkpoint and raises ``Stopped``.
        b_max: evaluate the trained model to so many loops, at least to ``b``.
        watch_evaluation: called with the prompts that are done and all of them.

    Raises:
        Stopped: ``should_stop`` said so.
        DivergedError: the loss became infinite or NaN.
        ValueError: the configuration asks for what this machine lacks.
    """
    config = resolve(config)
    task = tasks.from_config(config.task_config)
    model = seeded_model(config).to(config.device)
    optimizer = torch.optim.Adam(
        model.parameters(), lr=config.rate, betas=(config.beta1, config.beta2), fused=True
    )
    curves = Curves(config.steps)
    if folder is not None:
        curves = _restore(folder, model, optimizer, curves)
    journal = folder.journal if folder is not None else Journal()
    journal.append("start", step=curves.step)
    autocast = torch.autocast(config.device, torch.bfloat16, enabled=config.precision == "bf16")
    measured: list[Tensor] = []  # since curves last took them in; read in one transfer
    last_point = (time.perf_counter(), curves.step)
    saved_at = time.perf_counter()

    for step in range(curves.step, config.steps):
        xs, ys = task.batch(
            config.seed, step, config.batch_size, config.n_examples + 1, device=config.device
        )
        targets = ys[:, -model.config.n_queries :]
        for group in optimizer.param_groups:
            group["lr"] = config.rate * min(1.0, (step + 1) / max(1, config.warmup))
        with autocast:
            predictions = model(xs, ys, config.b, grad_loops=config.window)
        errors = (predictions.float() - targets).square()  # (loop, batch, query)
        loss = errors.mean()
        optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), config.grad_clip)
        optimizer.step()

        done = step + 1
        measured.append(torch.stack([loss, errors[-1, :, -1].mean(), norm]).detach())
        is_point = done == 1 or done % config.log_every == 0 or done == config.steps
        is_stop = should_stop()
        is_due = time.perf_counter() - saved_at >= config.checkpoint_seconds
        if is_point or is_stop or is_due:
            curves.add(torch.stack(measured).tolist())
            measured = []
        if is_point:
            now = time.perf_counter()
            speed = (done - last_point[1]) / (now - last_point[0])
            last_point = (now, done)
            values = _point(curves, config, optimizer, speed)
            journal.append("metrics", step=done, values=values)
            watch(done, values)
        if folder is not None and (is_due or is_stop or done == config.steps):
            _save(folder, model, optimizer, curves)
            saved_at = time.perf_counter()
        if is_stop:
            raise Stopped(f"stopped after {done} of {config.steps} steps")

    def progress(prompts_done: int, prompts: int) -> None:
        watch_evaluation(prompts_done, prompts)
        if should_stop():
            raise Stopped(f"stopped while evaluating, {prompts_done} prompts done")

    return _conclude(model, task, config, curves, journal, folder, b_max, progress)


def _conclude(
    model: LoopedTransformer,
    task: tasks.Task,
    config: TrainConfig,
    curves: Curves,
    journal: Journal,
    folder: RunFolder | None,
    b_max: int,
    progress: Callable[[int, int], None],
) -> Trained:
    """Evaluate the trained model, say how its training went, and keep both."""
    n_prompts = _affordable_prompts(config)
    evaluation = evaluate(
        model, task, max(config.b, b_max), n_prompts, lambda done: progress(done, n_prompts)
    )
    outcome, tags = _assess(evaluation, config, curves)
    if b_max > 0:
        journal.append("evaluation", step=curves.step, **evaluation.record(config.b))
    journal.append("outcome", step=curves.step, values=outcome, tags=tags)
    if folder is not None:
        save_model(folder.path / "model", model, _facts(config, outcome))
    return Trained(model, config, curves, evaluation, outcome, tags)


def _point(
    curves: Curves, config: TrainConfig, optimizer: torch.optim.Optimizer, speed: float
) -> dict[str, float]:
    tokens = speed * config.batch_size * config.model_config.n_tokens
    return {
        **{f"train/{name}": value for name, value in curves.point().items()},
        "train/learning_rate": optimizer.param_groups[0]["lr"],
        "speed/steps_per_s": speed,
        "speed/tokens_per_s": tokens,
    }


def _facts(config: TrainConfig, outcome: Mapping[str, float]) -> dict[str, Any]:
    """Say what a user of the saved model should know of it."""
    named = ("name", "size", "b", "seed", "n_examples", "steps", "precision", "identity")
    return {name: getattr(config, name) for name in named} | {
        "recipe": config.recipe_identity,
        "task": config.task_config.content,
        "held_out/nmse": outcome["held_out/nmse"],
    }


def _affordable_prompts(config: TrainConfig) -> int:
    """Fewer prompts where the run itself is short: running one costs a third of training on it."""
    return min(HELD_OUT_PROMPTS, max(FEWEST_PROMPTS, int(0.3 * config.steps * config.batch_size)))


def _assess(
    evaluation: Evaluation, config: TrainConfig, curves: Curves
) -> tuple[dict[str, float], dict[str, str]]:
    """Say what the training came to and how it went."""
    nmse = float(evaluation.nmse[config.b - 1])
    outcome = {
        **{f"final/{name}": value for name, value in curves.last.items()},
        **{f"best/{name}": value for name, value in curves.best.items()},
        "held_out/nmse": nmse,
        "held_out/nmse_se": float(evaluation.nmse_se[config.b - 1]),
        "held_out/bits": float(evaluation.bits[config.b - 1]),
        "held_out/prompts": evaluation.query_errors.shape[1],
    }
    if curves.late_fall is not None:
        outcome["final/late_fall"] = curves.late_fall
    if curves.escape_step is not None:
        outcome["escape_step"] = curves.escape_step
    tags = {
        "escape_step": "never" if curves.escape_step is None else str(curves.escape_step),
        "plateau": str(nmse > PLATEAU_ABOVE).lower(),
        "unconverged": str(curves.unconverged).lower(),
    }
    return outcome, tags


def _save(
    folder: RunFolder, model: nn.Module, optimizer: torch.optim.Optimizer, curves: Curves
) -> None:
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state[parameter].items():
            tensors[f"adam.{key}.{name}"] = value
    folder.journal.sync()
    save_checkpoint(folder.checkpoints, curves.step, tensors, curves.state())


def _restore(
    folder: RunFolder, model: nn.Module, optimizer: torch.optim.Optimizer, curves: Curves
) -> Curves:
    checkpoint = load_checkpoint(folder.checkpoints)
    if checkpoint is None:
        return curves
    groups: dict[str, dict[str, Any]] = {}
    for full_name, tensor in checkpoint.tensors.items():
        if full_name.startswith("adam."):
            _, key, name = full_name.split(".", 2)
            groups.setdefault(name, {})[key] = tensor
    weights = checkpoint.tensors
    model.load_state_dict({name: weights[f"model.{name}"] for name in model.state_dict()})
    for name, parameter in model.named_parameters():
        optimizer.state[parameter] = {
            key: value.to(parameter.device) for key, value in groups[name].items()
        }
    return Curves(**checkpoint.state)
