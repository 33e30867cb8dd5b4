"""A trained model on disk: ``weights.safetensors`` and, written last, ``model.json``.

The JSON holds the architecture, free facts, the checksum of the weights and one of itself, so
a file that was changed is refused, and nothing in either can run code. A checksum is no
signature: the files may be anybody's, so nothing is allocated before the architecture is known to
fit the weights that are there and the limits of ``looped.limits``.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from looped import limits
from looped.model import LoopedTransformer
from looped.names import Weights
from looped.records.damage import MOST_BYTES, one_line, writing
from looped.records.files import seal, sha256, unseal, write_atomically
from looped.rules import require, require_one_of
from looped.sizes import ModelConfig, Size

WEIGHTS = "weights.safetensors"
TAIL_WEIGHTS = "tail-weights.safetensors"
"""The mean of the weights over the last tenth of the training; not every model has them."""

DESCRIPTION = "model.json"
FILES = {Weights.LAST: WEIGHTS, Weights.TAIL: TAIL_WEIGHTS}
"""Of each choice of weights."""
CHECKSUMS = {WEIGHTS: "weights_sha256", TAIL_WEIGHTS: "tail_weights_sha256"}
HEADER_BYTES = 2**16
HEADER_BYTES_PER_LAYER = 2**12
"""What safetensors may take to name a block's weights; we write about 1,300 bytes."""


class DamagedModelError(ValueError):
    """A file of a saved model is missing or not what was saved."""


def save_model(
    folder: Path,
    model: LoopedTransformer,
    facts: Mapping[str, Any],
    tail_model: LoopedTransformer | None = None,
) -> None:
    """Save a model, from whatever device it is on.

    Args:
        folder: where to; made if missing.
        model: what to save.
        facts: what else is to be known of it, as JSON: its ``b``, its seed, ...
        tail_model: the same with the mean of its last weights, if that was kept.

    Raises:
        UnwritableError: the disk takes no more.
    """
    files = {WEIGHTS: _blob(model)}
    if tail_model is not None:
        files[TAIL_WEIGHTS] = _blob(tail_model)
    content = {
        "architecture": asdict(model.config),
        "facts": dict(facts),
        **{CHECKSUMS[name]: sha256(blob) for name, blob in files.items()},
    }
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, blob in files.items():
            write_atomically(folder / name, blob)
        write_atomically(folder / DESCRIPTION, seal(content))


def files_of(folder: Path) -> list[str]:
    """Name the files of a saved model: three, or two where it has no mean of its last weights."""
    names = (DESCRIPTION, WEIGHTS, TAIL_WEIGHTS)
    return [name for name in names if name != TAIL_WEIGHTS or (folder / name).exists()]


def load_model(
    folder: Path, weights: str = Weights.LAST
) -> tuple[LoopedTransformer, dict[str, Any]]:
    """Load a saved model and its facts.

    Args:
        folder: where it lies.
        weights: ``last``, those after the last step, or ``tail``, their mean over the last tenth.

    Returns:
        The model, on the CPU and in evaluation mode, and what it was saved with.

    Raises:
        DamagedModelError: a file is missing, was changed, does not fit the other, or describes
            a larger model than the limits allow.
        ValueError: the mean of the last weights is asked for, and was not kept.
    """
    require_choice(weights)
    name = FILES[weights]
    description, path = folder / DESCRIPTION, folder / name
    try:
        content = unseal(_read(description, MOST_BYTES))
        config = _shape(content["architecture"])
        facts, checksum = dict(content["facts"]), content.get(CHECKSUMS[name])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(description, error) from error
    if checksum is None and weights == Weights.TAIL:
        rule = "weights=tail is for models that were trained with average=tail"
        require(False, rule, f"{folder} without them")
    try:
        n_params, n_layer = config.n_params(), config.n_stacks * config.size.n_layer
        blob = _read(path, 8 * n_params + HEADER_BYTES + n_layer * HEADER_BYTES_PER_LAYER)
        rule = f"it must hold {n_params:,} weights"
        require(len(blob) >= n_params, rule, f"{len(blob):,} bytes")
        if sha256(blob) != checksum:
            raise ValueError(f"its checksum is not the one that {DESCRIPTION} holds")
        model = _empty_model(config)
        model.load_state_dict(load(blob))
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise _damaged(path, error) from error
    return model.eval(), facts


def require_choice(weights: str) -> None:
    """Require the name of a choice of weights."""
    require_one_of("weights", weights, tuple(FILES))


def _blob(model: LoopedTransformer) -> bytes:
    return save({name: value.cpu() for name, value in model.state_dict().items()})


def _read(path: Path, most_bytes: int) -> bytes:
    with path.open("rb") as file:
        content = file.read(most_bytes + 1)
    require(len(content) <= most_bytes, f"it must hold at most {most_bytes:,} bytes", "more")
    return content


def _shape(architecture: Mapping[str, Any]) -> ModelConfig:
    """Read an architecture, and hold it to the limits before anything is made of it."""
    config = ModelConfig(**{**architecture, "size": Size(**architecture["size"])})
    limits.LAYERS.check("n_layer", config.size.n_layer)
    limits.LAYERS.check("n_layer times n_stacks", config.n_stacks * config.size.n_layer)
    limits.TOKENS.check("the tokens of a prompt", config.n_tokens)
    limits.PARAMETERS.check("the number of weights", config.n_params())
    return config


def _empty_model(config: ModelConfig) -> LoopedTransformer:
    """Build a model whose weights are still to come, and leave PyTorch's generator alone.

    Not on PyTorch's meta device, whose first use takes seconds.
    """
    with torch.random.fork_rng(devices=[]):
        return LoopedTransformer.from_config(config)


def _damaged(path: Path, error: Exception) -> DamagedModelError:
    return DamagedModelError(f"{path} must hold what was saved there, but: {one_line(error)}")
