"""Where a run comes from: the code, the machine and the grid, kept beside its journal."""

import hashlib
import json
import logging
import os
import re
import socket
import subprocess
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from looped.names import Tag
from looped.records.damage import DamagedFileError, read_object, writing
from looped.records.files import write_atomically
from looped.records.machine import this_machine
from looped.rules import require

UNKNOWN = "unknown"
SOURCES = (".py", ".cpp", ".h")
ELSEWHERE = (
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR"),
    *("GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE", "GIT_PREFIX"),
)
"""Variables by which git is pointed at a repository, as within its hooks."""

_WORD = re.compile(r"[\w.:-]{1,255}")

logger = logging.getLogger("looped")


class Code(NamedTuple):
    """Which code ran, as far as is known.

    Attributes:
        commit: of its repository, or ``unknown``.
        sources: digest of the package's own sources, or ``unknown``.
    """

    commit: str
    sources: str = UNKNOWN

    def is_surely(self, code: "Code") -> bool:
        """Tell whether both are the same code for sure, which an unknown commit never is.

        Where both have a digest of the sources, edits that are not committed count as well.
        """
        if UNKNOWN in (self.commit, code.commit) or self.commit != code.commit:
            return False
        return UNKNOWN in (self.sources, code.sources) or self.sources == code.sources


@dataclass(frozen=True)
class FirstSteps:
    """The steps that a training did not take itself: a shorter one of the same way took them.

    Attributes:
        training: name of the shorter one's folder.
        steps: how many.
        flops: of their matrix products.
        seconds: that they took by the clock, from the first sample's process to the last sample.
        commit: of the code that took them; ``unknown`` where more than one did.
        sources: digest of that code's own sources, likewise.
    """

    training: str
    steps: int
    flops: int
    seconds: float
    commit: str = UNKNOWN
    sources: str = UNKNOWN

    def __post_init__(self) -> None:
        words = (self.training, self.commit, self.sources)
        is_named = all(isinstance(word, str) and _WORD.fullmatch(word) for word in words)
        numbers = (self.steps, self.flops, self.seconds)
        is_counted = all(type(number) in (int, float) and number >= 0 for number in numbers)
        require(is_named and is_counted, "first steps must be named and counted", self.training)

    @property
    def code(self) -> Code:
        """The code that took them."""
        return Code(self.commit, self.sources)


@dataclass(frozen=True)
class Origin:
    """What MLflow is told of the process that trains.

    Attributes:
        commit: of the code, or ``unknown``.
        is_dirty: whether uncommitted changes lay on it; None if unknown.
        host: name of the machine.
        grid: identity of the grid that the run is one of, or None.
        sources: digest of the package's own sources; ``unknown`` in older folders.
        machine: which of the machines of that name; empty if unknown.
        first_steps: those that a shorter training took, if it went on from there.
    """

    commit: str
    is_dirty: bool | None
    host: str
    grid: str | None = None
    sources: str = UNKNOWN
    machine: str = ""
    first_steps: FirstSteps | None = None

    @classmethod
    def here(cls, grid: str | None = None) -> "Origin":
        """Describe this process."""
        return cls(*git_state(), socket.gethostname(), grid, sources_digest(), this_machine())

    @property
    def code(self) -> "Code":
        """The code that ran."""
        return Code(self.commit, self.sources)

    def is_surely_of(self, code: Code) -> bool:
        """Tell whether that code for sure took every step, those of a shorter training too."""
        codes = [self.code] if self.first_steps is None else [self.code, self.first_steps.code]
        return all(code.is_surely(each) for each in codes)

    @classmethod
    def read(cls, folder: Path) -> "Origin | None":
        """Read what ``write`` left in a folder; where that is damaged, say so: it is unknown."""
        path = folder / "origin.json"
        if not os.path.exists(path):  # or in another user's folder, which cannot be looked into
            return None
        try:
            content = read_object(path)
            try:
                first_steps = content.pop("first_steps", None)
                origin = cls(**content, first_steps=first_steps and FirstSteps(**first_steps))
            except (TypeError, ValueError) as error:
                raise DamagedFileError(path, error) from error
            grid = UNKNOWN if origin.grid is None else origin.grid
            words = [origin.commit, origin.host, origin.sources, grid]
            words += [origin.machine or UNKNOWN]
            if not all(isinstance(word, str) and _WORD.fullmatch(word) for word in words) or (
                origin.is_dirty not in (None, True, False)
            ):
                raise DamagedFileError(path, "it names no commit, machine and grid")
        except DamagedFileError as error:
            logger.warning("%s; where the run comes from is taken as unknown", error)
            return cls(UNKNOWN, None, UNKNOWN)
        return origin

    def write(self, folder: Path) -> None:
        """Keep it in a run's folder; the newest process stands.

        Raises:
            UnwritableError: the disk takes no more.
        """
        content = asdict(self)
        if self.first_steps is None:  # what older versions do not know is there where it must be
            del content["first_steps"]
        with writing(folder / "origin.json"):
            write_atomically(folder / "origin.json", json.dumps(content, indent=2).encode())

    @property
    def tags(self) -> dict[str, str]:
        """The same as tags of an MLflow run."""
        tags = {
            Tag.COMMIT: self.commit,
            Tag.DIRTY: str(self.is_dirty).lower(),
            Tag.HOST: self.host,
        }
        if self.sources != UNKNOWN:
            tags[Tag.SOURCES] = self.sources
        tags |= {Tag.MACHINE: self.machine} if self.machine else {}
        if self.first_steps is not None:
            tags[Tag.FIRST_STEPS] = str(self.first_steps.steps)
            tags[Tag.FIRST_STEPS_OF] = self.first_steps.training
        return tags if self.grid is None else {**tags, Tag.GRID: self.grid}


def git_state() -> tuple[str, bool | None]:
    """Return the commit of the code and whether uncommitted changes lie on it.

    Only a repository that begins where the project does is the code's own: a project that was
    unpacked inside another repository is of no commit.
    """
    root = Path(__file__).resolve().parents[2]
    environment = {name: text for name, text in os.environ.items() if name not in ELSEWHERE}

    def ask(*words: str) -> str:
        answer = subprocess.run(
            ["git", "-C", str(root), *words],
            capture_output=True, text=True, errors="surrogateescape", check=True, env=environment,
        )  # fmt: skip
        return answer.stdout.removesuffix("\n")

    try:
        top, _, commit = ask("rev-parse", "--show-toplevel", "HEAD").rpartition("\n")
        if Path(top).resolve() != root:
            return UNKNOWN, None
        return commit, bool(ask("status", "--porcelain"))
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN, None


@cache
def sources_digest() -> str:
    """Name the content of the package's own sources, whatever git says of them.

    Returns:
        Sixteen hexadecimal digits, or ``unknown`` where the sources cannot be read.
    """
    package = Path(__file__).resolve().parents[1]
    content = hashlib.sha256()
    try:
        for path in sorted(package.rglob("*")):
            if path.suffix in SOURCES:
                name = path.relative_to(package).as_posix()
                content.update(
                    f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode()
                )
    except OSError:
        return UNKNOWN
    return content.hexdigest()[:16]
