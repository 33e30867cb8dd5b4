"""The error on each held-out prompt, kept so that two runs can be compared prompt by prompt.

``evaluation/prompts.safetensors`` in a run's folder holds float32 arrays: ``loop_10`` are the
squared errors at the query after ten loops, in units of Var(y), and ``tail_loop_10`` those of the
mean of the last weights. Entry i is of prompt i of the held-out stream that the metadata
``prompts`` names: where two files name the same, their entries are of the same prompts, as far as
both reach. Kept are the loop that the model was trained at and the last that it was evaluated to,
of the first ``MOST_KEPT`` prompts.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from looped.names import Metric
from looped.records.damage import DamagedFileError, writing
from looped.records.files import write_atomically
from looped.rules import require

FILE = "prompts.safetensors"
MOST_KEPT = 2**16
MOST_BYTES = 2**22
"""Of a file: four arrays of all that is kept, and room for their names."""

Floats = npt.NDArray[np.float32]

_NAME = re.compile(r"(tail_|)loop_([1-9][0-9]{0,8})")
_HEADER_BYTES = 8


@dataclass(frozen=True)
class PromptErrors:
    """What a run errs by on each held-out prompt.

    Attributes:
        prompts: names the held-out stream.
        by_loop: squared errors at the query by loop, each of shape (prompt,).
        tail_by_loop: the same of the mean of the last weights; empty where there is none.
    """

    prompts: str
    by_loop: Mapping[int, Floats]
    tail_by_loop: Mapping[int, Floats] = field(default_factory=dict)

    def save(self, folder: Path) -> int:
        """Write the file into a folder, which is made if missing.

        Returns:
            Of how many prompts it holds the errors.

        Raises:
            UnwritableError: the disk takes no more.
        """
        arrays = {
            f"{prefix}loop_{loop}": np.ascontiguousarray(errors[:MOST_KEPT], np.float32)
            for prefix, errors_by_loop in (("", self.by_loop), (Metric.TAIL, self.tail_by_loop))
            for loop, errors in errors_by_loop.items()
        }
        with writing(folder / FILE):
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / FILE, save(arrays, {"prompts": self.prompts}))
        return max(map(len, arrays.values()))


def load_prompt_errors(path: Path) -> PromptErrors:
    """Read the file, which may be anybody's.

    Raises:
        DamagedFileError: it is not as one of ours.
    """
    try:
        with path.open("rb") as file:
            blob = file.read(MOST_BYTES + 1)
        require(len(blob) <= MOST_BYTES, f"it must hold at most {MOST_BYTES:,} bytes", "more")
        arrays = load(blob)
        prompts = _metadata(blob)["prompts"]
        require(isinstance(prompts, str), "prompts must be named", type(prompts).__name__)
        kinds = {prefix: dict(_arrays_of(arrays, prefix)) for prefix in ("", Metric.TAIL)}
    except (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
        raise DamagedFileError(path, error) from error
    return PromptErrors(prompts, kinds[""], kinds[Metric.TAIL])


def _metadata(blob: bytes) -> dict[str, str]:
    """Return the free part of the header, whose length the first bytes give."""
    length = int.from_bytes(blob[:_HEADER_BYTES], "little")
    metadata: dict[str, str] = json.loads(blob[_HEADER_BYTES : _HEADER_BYTES + length])[
        "__metadata__"
    ]
    return metadata


def _arrays_of(arrays: Mapping[str, Floats], prefix: str) -> Iterator[tuple[int, Floats]]:
    for name, errors in arrays.items():
        parts = _NAME.fullmatch(name)
        require(parts is not None, "an array must be of a loop", repr(name[:80]))
        is_ours = errors.dtype == np.float32 and errors.ndim == 1 and len(errors) > 1
        require(is_ours, f"{name} must hold a number for each prompt", str(errors.shape))
        is_error = bool(np.isfinite(errors).all() and (errors >= 0).all())
        require(is_error, f"{name} must hold squared errors", "others")
        assert parts is not None
        if parts[1] == prefix:
            yield int(parts[2]), errors
