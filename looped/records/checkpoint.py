"""Checkpoints: safetensors beside JSON, atomic, checksummed, the last two kept.

The tensors are written first, the JSON that holds their checksum last: a checkpoint exists
once its JSON does. Each file is written under another name, synced and renamed, so a crash
leaves a whole file or none.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from looped.records.damage import one_line, writing
from looped.records.files import seal, sha256, unseal, write_atomically

KEPT = 2
_DESCRIPTION = re.compile(r"step-(\d{8,18})\.json")

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
        for old in _steps(folder)[:-KEPT]:
            for suffix in (".json", ".safetensors"):
                old.with_suffix(suffix).unlink(missing_ok=True)


def newest_step(folder: Path) -> int:
    """Return the step of the newest checkpoint, whole or not; 0 where there is none."""
    return max((_step(path) for path in _steps(folder)), default=0)


def load_checkpoints(folder: Path) -> Iterator[Checkpoint]:
    """Load the checkpoints that are whole, the newest first, and say which ones are not.

    Yields:
        Checkpoints, on the CPU.
    """
    for path in reversed(_steps(folder)):
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
    if step != _step(path) or not isinstance(state, dict):
        raise ValueError("it is of another step")
    return Checkpoint(_step(path), load(blob), state)


def _steps(folder: Path) -> list[Path]:
    """List the descriptions of the checkpoints, by step; what has another name is none."""
    paths = (path for path in folder.glob("step-*.json") if _DESCRIPTION.fullmatch(path.name))
    return sorted((path for path in paths if path.is_file()), key=_step)


def _step(path: Path) -> int:
    return int(path.stem.partition("-")[2])
