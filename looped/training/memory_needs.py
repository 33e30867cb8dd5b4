"""What memory a training takes at least, and what there is: asked before anything is made.

The estimates are from below. What cannot fit is refused; what may fit is tried.
"""

import math
import os
import resource
from functools import cache
from pathlib import Path

import torch

from looped.config import TrainConfig
from looped.rules import require
from looped.training.outcome import affordable_prompts, final_prompts

FLOAT = 4
WEIGHT_COPIES = 4
"""The weights, their gradient and Adam's two moments; one more for the mean of the tail."""


def require_room(config: TrainConfig) -> None:
    """Raise ValueError if a step of a resolved training cannot fit into this machine's memory."""
    hint = "batch_size, n_examples, n_dims, n_hidden, b and grad_window decide it"
    _require(config, config.device, step_bytes(config), f"for a step ({hint})")


def wants_recomputation(config: TrainConfig) -> bool:
    """Tell whether a step that keeps every loop would take more than half of the memory."""
    there = memory_of(config.device)
    return there is not None and step_bytes(config) > there / 2


def require_room_to_evaluate(config: TrainConfig, b_max: int, n_prompts: int | None) -> None:
    """Raise ValueError if the held-out errors of a training cannot fit into the machine's memory.

    Args:
        config: resolved.
        b_max: loops to evaluate to, where that is more than b.
        n_prompts: held-out prompts; as many as the training affords if None.
    """
    n_prompts = n_prompts or affordable_prompts(config)
    n_further = final_prompts(config, n_prompts) - n_prompts
    errors = (config.loops_up_to(b_max) * n_prompts + config.b * n_further) * FLOAT
    _require(config, "cpu", errors, "for its evaluation (b, b_max and n_prompts decide it)")


def step_bytes(config: TrainConfig) -> int:
    """Estimate from below the bytes that a step of a resolved training takes.

    What the loops keep for the backward pass is the most of it: without fused kernels, 12 numbers
    for each unit of the width and 2 for each hidden unit, of every token, block and loop in the
    window (measured against it: ``docs/performance.md``). On a CPU the kernels keep those of one
    prompt for each thread; on a GPU they keep less.
    """
    shape, size = config.model_config, config.model_config.size
    per_prompt = shape.n_points * (shape.n_dims + 1) + _task_numbers(config)
    n_loops = config.windows.tracked(config.b)
    if config.checkpoint_loops:
        n_loops = math.isqrt(n_loops - 1) + 1
    is_fused = config.kernels == "fused"
    per_unit, per_hidden = (4, 0) if is_fused else (12, 2)
    per_token = size.n_layer * n_loops * (per_unit * size.n_embd + per_hidden * size.n_mlp)
    n_kept = 1 if is_fused and config.device == "cpu" else config.batch_size
    width = FLOAT if config.precision == "fp32" else FLOAT // 2
    embedded = shape.n_tokens * size.n_embd
    return (
        FLOAT * config.batch_size * (per_prompt + embedded)
        + FLOAT * (WEIGHT_COPIES + (config.average == "tail")) * shape.n_params()
        + width * n_kept * shape.n_tokens * per_token
    )


def _task_numbers(config: TrainConfig) -> int:
    """Count the numbers that one drawn function holds, and what it keeps at the x's."""
    if config.task == "relu_network":
        return config.n_hidden * (config.n_dims + 1 + config.n_examples)
    if config.task == "decision_tree":
        return int(2**config.tree_depth)
    return config.n_dims


def memory_of(device: str) -> int | None:
    """Return the bytes that there are at most for a process here; None where nobody tells."""
    if device == "cuda":
        return int(torch.cuda.get_device_properties(0).total_memory)
    limits = [_machine_bytes(), *_group_limits()]
    soft_limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    limits.append(None if soft_limit == resource.RLIM_INFINITY else soft_limit)
    there = [limit for limit in limits if limit is not None]
    return min(there, default=None)


@cache  # asked for every training of a grid
def _machine_bytes() -> int | None:
    """Return the machine's memory, with its swap space where Linux tells."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        kib = {name: int(rest.split()[0]) for name, _, rest in (ln.partition(":") for ln in lines)}
        return 1024 * (kib["MemTotal"] + kib["SwapTotal"])
    except (OSError, ValueError, KeyError, IndexError):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return None


@cache
def _group_limits() -> list[int]:
    """Return the limits of the control groups that a container or a scheduler put this into."""
    root = Path("/sys/fs/cgroup")
    paths = [root / "memory" / "memory.limit_in_bytes"]
    try:
        lines = Path("/proc/self/cgroup").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if not controllers:
            folder = root / group.lstrip("/")
            paths += [each / "memory.max" for each in (folder, *folder.parents)]
    limits = []
    for path in paths:
        try:
            limits.append(int(path.read_text("ascii")))
        except (OSError, ValueError):  # not there, or "max"
            continue
    return limits


def _require(config: TrainConfig, device: str, needed: int, what_for: str) -> None:
    there = memory_of(device)
    place = "the GPU" if device == "cuda" else "this machine"
    if there is not None:
        rule = f"trainings must fit into the {_gib(there)} of memory that {place} has"
        came = f"{config.name}, which needs at least {_gib(needed)} {what_for}"
        require(needed <= there, rule, came)


def _gib(n_bytes: int) -> str:
    gib = n_bytes / 2**30
    return f"{gib:,.1f} GiB" if gib < 1e6 else f"{gib:.1e} GiB"
