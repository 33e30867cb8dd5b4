"""A training that begins where a shorter one of the same way ended.

After the warm-up the rate is constant, and prompts and drawn loops follow from seed and step: two
trainings that differ in ``steps`` alone are one and the same as far as the shorter goes. So the
longer one takes over its last checkpoint and the samples of its curve, and trains the rest, to the
bit what it would have come to by itself.
"""

import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from looped.config import TrainConfig
from looped.names import Weights
from looped.records.checkpoint import Checkpoint, load_checkpoints, save_checkpoint
from looped.records.checkpoint_files import newest_step
from looped.records.damage import DamagedFileError, UnwritableError, one_line
from looped.records.folder import RunFolder, load_config
from looped.records.journal import Record, history, read
from looped.records.origin import UNKNOWN, Code, FirstSteps, Origin
from looped.rules import require
from looped.windows import tail_start

_FOLDER = re.compile(r"(.+)-[0-9a-f]{12}")

logger = logging.getLogger("looped")


class Shorter(NamedTuple):
    """A shorter training that has left its last state in a folder."""

    config: TrainConfig
    folder: Path


def way_of(config: TrainConfig) -> TrainConfig:
    """Return what decides every step and sample of a training, and leave out its length."""
    return replace(config, steps=0, average="off", checkpoint_seconds=0.0)


def can_begin_with(config: TrainConfig, shorter: TrainConfig) -> bool:
    """Tell whether a training may begin where a shorter one ends.

    Not where the shorter one ends between two samples of the curve, which it samples there, nor
    within the tail of the longer one, whose mean would miss steps.

    Args:
        config: of the longer one, resolved; how it is computed must be decided as well.
        shorter: likewise.

    Example:
        >>> config = TrainConfig(steps=2000, device="cpu", precision="fp32", kernels="off")
        >>> [can_begin_with(config, replace(config, steps=n)) for n in (1000, 1010, 1900, 2000)]
        [True, False, False, False]
    """
    n_steps = shorter.steps
    is_decided = "auto" not in (config.device, config.precision, config.kernels)
    is_sample = 0 < n_steps < config.steps and n_steps % config.log_every == 0
    misses_none = config.average == "off" or n_steps < tail_start(config.steps)
    return is_decided and is_sample and misses_none and way_of(config) == way_of(shorter)


def folders_by_name(root: Path) -> dict[str, list[Path]]:
    """List the folders of runs by the names of their trainings, whatever their identities."""
    folders: dict[str, list[Path]] = {}
    for path in root.iterdir() if root.is_dir() else ():
        if name := _FOLDER.fullmatch(path.name):
            folders.setdefault(name[1], []).append(path)
    return folders


def shorter_trainings(
    config: TrainConfig,
    folders: Iterable[Path],
    code: Code | None,
    load: Callable[[Path], TrainConfig] = load_config,
) -> list[Shorter]:
    """List the trainings that a longer one may begin with, the longest first.

    Args:
        config: of the longer one, resolved.
        folders: of trainings of its name.
        code: that must have taken all their steps; None for any.
        load: reads the configuration of a folder.
    """
    trainings = []
    for folder in folders:
        try:
            shorter = load(folder)
        except ValueError:  # of another version, or none of ours: whoever trains there says why
            continue
        has_ended = newest_step(folder / "checkpoints") == shorter.steps
        if has_ended and can_begin_with(config, shorter):
            origin = Origin.read(folder)
            if code is None or (origin is not None and origin.is_surely_of(code)):
                trainings.append(Shorter(shorter, folder))
    return sorted(trainings, key=lambda training: -training.config.steps)


def begin_with_shorter(
    folder: RunFolder, config: TrainConfig, origin: Origin, code: Code | None
) -> None:
    """Write where a training comes from; begin it where a shorter one ended, if it is new.

    What a process wrote that was killed meanwhile is written again: the checkpoint comes last, and
    a folder without one begins anew.

    Args:
        folder: of the training, locked by this process.
        config: of the training, resolved.
        origin: of this process.
        code: that must have taken the steps; None for any.

    Raises:
        UnwritableError: the disk takes no more.
    """
    before = Origin.read(folder.path)
    n_done = newest_step(folder.checkpoints)
    if before is not None and before.first_steps and before.first_steps.steps <= n_done:
        origin = replace(origin, first_steps=before.first_steps)
    origin.write(folder.path)
    if n_done or not _is_new(folder.journal.history()):
        return
    namesakes = folders_by_name(folder.path.parent).get(config.name, [])
    for shorter in shorter_trainings(config, namesakes, code):
        try:
            checkpoint, records = _last_state(shorter)
        except UnwritableError:
            raise
        except (OSError, ValueError) as error:
            logger.warning("%s is not gone on from: %s", shorter.folder, one_line(error))
            continue
        first_steps = _first_steps(shorter, records)
        replace(origin, first_steps=first_steps).write(folder.path)
        folder.rewrite_journal(records)
        state = checkpoint.state | {"n_steps": config.steps}
        save_checkpoint(folder.checkpoints, checkpoint.step, checkpoint.tensors, state)
        return


def _is_new(records: Iterable[Record]) -> bool:
    """Tell whether a journal holds nothing, or only what was taken from a shorter training."""
    starts = [record for record in records if record["kind"] in ("start", "end")]
    return all("training" in record for record in starts)


def _last_state(shorter: Shorter) -> tuple[Checkpoint, list[Record]]:
    """Read a training's last checkpoint, without its tail, and the records of its way there.

    Raises:
        ValueError: one of them is damaged, or the curve lacks samples.
    """
    n_steps, log_every = shorter.config.steps, shorter.config.log_every
    checkpoints = load_checkpoints(shorter.folder / "checkpoints")
    checkpoint = next((each for each in checkpoints if each.step == n_steps), None)
    if checkpoint is None:
        raise DamagedFileError(shorter.folder / "checkpoints", "the last checkpoint is not whole")
    records = [
        record | ({"training": shorter.folder.name} if "training" not in record else {})
        if record["kind"] == "start"
        else record
        for record in history(read(shorter.folder / "journal.jsonl")[0])
        if record["kind"] in ("start", "metrics")
    ]
    steps = [record["step"] for record in records if record["kind"] == "metrics"]
    rule = f"the journal must hold every sample up to step {n_steps:,}"
    is_whole = steps == sorted({1, *range(log_every, n_steps + 1, log_every)})
    is_whole &= records[0]["kind"] == "start"
    require(is_whole, rule, f"{len(steps):,} samples")
    tensors = {
        name: tensor
        for name, tensor in checkpoint.tensors.items()
        if not name.startswith(f"{Weights.TAIL}.")
    }
    return checkpoint._replace(tensors=tensors), records


def _first_steps(shorter: Shorter, records: Iterable[Record]) -> FirstSteps:
    milliseconds = began_at = newest = 0
    for record in records:
        if record["kind"] == "start":
            milliseconds, began_at = milliseconds + newest - began_at, record["time"]
        newest = record["time"]
    origin = Origin.read(shorter.folder) or Origin(UNKNOWN, None, UNKNOWN)
    is_of_one = origin.is_surely_of(origin.code)
    return FirstSteps(
        training=shorter.folder.name,
        steps=shorter.config.steps,
        flops=shorter.config.steps * shorter.config.step_flops,
        seconds=(milliseconds + newest - began_at) / 1000,
        commit=origin.commit if is_of_one else UNKNOWN,
        sources=origin.sources if is_of_one else UNKNOWN,
    )
