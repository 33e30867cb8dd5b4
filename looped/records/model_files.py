"""A trained model on disk: ``weights.safetensors`` and, written last, ``model.json``.

The JSON holds the architecture, free facts, the checksum of the weights and one of itself, so
a file that was changed is refused, and nothing in either can run code.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from looped.model import LoopedTransformer
from looped.records.files import seal, sha256, unseal, write_atomically
from looped.sizes import ModelConfig, Size

WEIGHTS = "weights.safetensors"
DESCRIPTION = "model.json"


class DamagedModelError(ValueError):
    """A file of a saved model is missing or not what was saved."""


def save_model(folder: Path, model: LoopedTransformer, facts: Mapping[str, Any]) -> None:
    """Save a model, from whatever device it is on.

    Args:
        folder: where to; made if missing.
        model: what to save.
        facts: what else is to be known of it, as JSON: its ``b``, its seed, ...
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = save({name: value.cpu() for name, value in model.state_dict().items()})
    write_atomically(folder / WEIGHTS, weights)
    content = {
        "architecture": asdict(model.config),
        "facts": dict(facts),
        "weights_sha256": sha256(weights),
    }
    write_atomically(folder / DESCRIPTION, seal(content))


def load_model(folder: Path) -> tuple[LoopedTransformer, dict[str, Any]]:
    """Load a saved model and its facts.

    Returns:
        The model, on the CPU and in evaluation mode, and what it was saved with.

    Raises:
        DamagedModelError: a file is missing, was changed, or does not fit the other.
    """
    description = folder / DESCRIPTION
    try:
        content = unseal(description.read_bytes())
        model = _empty_model(content["architecture"])
        facts, checksum = dict(content["facts"]), content["weights_sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(description, error) from error
    try:
        weights = (folder / WEIGHTS).read_bytes()
        if sha256(weights) != checksum:
            raise ValueError(f"its checksum is not the one that {DESCRIPTION} holds")
        model.load_state_dict(load(weights))
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise _damaged(folder / WEIGHTS, error) from error
    return model.eval(), facts


def _empty_model(architecture: Mapping[str, Any]) -> LoopedTransformer:
    """Build a model whose weights are still to come, and leave PyTorch's generator alone.

    Not on PyTorch's meta device, whose first use takes seconds.
    """
    config = ModelConfig(**{**architecture, "size": Size(**architecture["size"])})
    with torch.random.fork_rng(devices=[]):
        return LoopedTransformer.from_config(config)


def _damaged(path: Path, error: Exception) -> DamagedModelError:
    reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
    return DamagedModelError(f"{path} must hold what was saved there, but: {reason}")
