"""How a training runs on this machine: its device, precision and kernels."""

from dataclasses import replace
from importlib.util import find_spec

import torch

from looped.config import TrainConfig
from looped.evaluation.task_check import require_sound
from looped.kernels.cpu import library, processor
from looped.kernels.shape import PaddedShape
from looped.training.memory_needs import require_room, wants_recomputation


def resolve(config: TrainConfig, work: int = 0) -> TrainConfig:
    """Decide what was left automatic: device, precision, kernels, the rate and the windows.

    Loops are computed again in the backward pass where keeping all of them would take more than
    half of the memory, asked for or not.

    Args:
        config: of a training.
        work: FLOPs of all trainings that it is one of, which compile kernels once.

    Raises:
        ValueError: a GPU is asked for where there is none, or kernels where none serve, or the
            training cannot fit into this machine's memory, or a task of one's own is not sound.
    """
    require_sound(config.task_config, config.n_examples)
    config = _resolve(config, work)
    if not config.checkpoint_loops and wants_recomputation(config):
        config = replace(config, checkpoint_loops=True)
    require_room(config)
    return config


def _resolve(config: TrainConfig, work: int) -> TrainConfig:
    has_cuda = torch.cuda.is_available()
    if config.device == "cuda" and not has_cuda:
        raise ValueError("device must be one that this machine has, got cuda without a GPU")
    device = config.device if config.device != "auto" else "cuda" if has_cuda else "cpu"
    on_device = config.resolved_on(device)
    if config.kernels == "off":
        return on_device
    if config.kernels == "fused":
        _require_kernels(on_device)
        return on_device
    return replace(on_device, kernels="fused" if kernels_serve(on_device, work) else "off")


def _require_kernels(config: TrainConfig) -> None:
    """Raise ValueError, with the reason, where no fused kernels serve a training on its device."""
    is_served = config.device == "cpu" and processor.can_multiply(config.precision)
    if is_served and not config.is_untied:
        try:
            library.load(config.precision)
        except library.KernelError as error:
            raise ValueError(f"kernels must be auto or off here, got fused: {error}") from None
    elif not kernels_serve(config):
        raise ValueError(
            "kernels must be auto or off where no fused ones serve (bf16 and Triton on a GPU, "
            "fp32 and a C++ compiler on a CPU, bf16 there with AVX512-BF16), "
            f"got fused with {config.precision} on {config.device}{_unserved(config)}"
        )


def _unserved(config: TrainConfig) -> str:
    """Name what no kernels serve on that device, if that is why."""
    by_prompt = config.draws_by_prompt and config.device == "cuda"
    words = {"tied=false": config.is_untied, "b_draw_unit=prompt": by_prompt}
    return "".join(f" and {word}, which they do not" for word, holds in words.items() if holds)


def kernels_serve(config: TrainConfig, work: int = 0) -> bool:
    """Tell whether fused kernels serve a training whose device and precision are resolved.

    On a CPU they do where they lie compiled or there is enough work to compile them first. An
    untied model runs plainly, and on a GPU so do steps whose prompts draw loops of their own.
    """
    if config.is_untied or (config.device == "cuda" and config.draws_by_prompt):
        return False
    if (config.device, config.precision) == ("cuda", "bf16"):
        has_triton = find_spec("triton") is not None
        return has_triton and PaddedShape.of(config.model_config) is not None
    flops = max(work, config.steps * config.step_flops)
    return config.device == "cpu" and library.serves(flops, config.precision)
