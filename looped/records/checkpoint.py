"""Checkpoints: safetensors beside JSON, atomic, checksummed, the last two kept.

The tensors are written first, the JSON that holds their checksum last: a checkpoint exists
once its JSON does. Each file is written under another name, synced and renamed, so a crash
leaves a whole file or none.
"""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from looped.records.checkpoint_files import descriptions, step_of
from looped.records.damage import one_line, writing
from looped.records.files import seal, sha256, unseal, write_atomically

KEPT = 2

logger = logging.getLogger("looped")


class Checkpoint(NamedTuple):
    """What a training needs to go on as if it had never stopped."""

    step: int
    tensors: dict[str, Tensor]
    state: dict[str, Any]


def save_checkpoint(
    folder: Path, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]
) -> None:
    """Save a checkpoint and remove all but the last two.

    Args:
        folder: where the run keeps its checkpoints; made if missing.
        step: gradient steps done.
        tensors: weights and the optimiser's moments, by name.
        state: everything else, as JSON; its floats come back to the bit.

    Raises:
        UnwritableError: the disk takes no more; the earlier checkpoints stand.
    """
    path = folder / f"step-{step:08d}.safetensors"
    blob = save({name: tensor.detach().cpu() for name, tensor in tensors.items()})
    with writing(path):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, blob)
        content = {"step": step, "tensors_sha256": sha256(blob), "state": state}
        write_atomically(path.with_suffix(".json"), seal(content))
        for old in descriptions(folder)[:-KEPT]:
            for suffix in (".json", ".safetensors"):
                old.with_suffix(suffix).unlink(missing_ok=True)


def load_checkpoints(folder: Path) -> Iterator[Checkpoint]:
    """Load the checkpoints that are whole, the newest first, and say which ones are not.

    Yields:
        Checkpoints, on the CPU.
    """
    for path in reversed(descriptions(folder)):
        try:
            yield _load(path)
        except (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
            logger.warning("%s is damaged (%s); trying the one before", path, one_line(error))


def _load(path: Path) -> Checkpoint:
    content = unseal(path.read_bytes())
    blob = path.with_suffix(".safetensors").read_bytes()
    if sha256(blob) != content["tensors_sha256"]:
        raise ValueError("the checksum of its tensors does not match")
    step, state = content["step"], content["state"]
    if step != step_of(path) or not isinstance(state, dict):
        raise ValueError("it is of another step")
    return Checkpoint(step_of(path), load(blob), state)
