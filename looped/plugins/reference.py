"""How a part of one's own is written: where it is, its name there, and which source is meant."""

import re
from dataclasses import dataclass
from pathlib import Path

from looped.rules import require

LONGEST = 400
"""Characters of a reference: a run's records hold it whole."""

_REFERENCE = re.compile(
    r"(?P<place>[^:@]+(?:@[^:@]+)*):(?P<name>[^\W\d]\w*)"
    r"(?:@(?:(?P<version>[^@:/\s]+)-)?(?P<digest>[0-9a-f]{12}))?"
)


@dataclass(frozen=True)
class Reference:
    """An object of a file or module, ``my_tasks.py:Quadratic`` or ``my_package.tasks:Quadratic``.

    One that is pinned says as well which version of the package and which source is meant, as
    ``my_package.tasks:Quadratic@1.2-0123456789ab``: with other lines there it is not found.

    Attributes:
        place: path of a file of Python, or name of a module.
        name: of the object there.
        version: of the package that holds the module; empty for files.
        digest: of the lines that make the object; empty where it is not pinned.

    Example:
        >>> reference = Reference.parse("lab/my_tasks.py:Quadratic@0123456789ab")
        >>> reference.content, reference.short
        ('my_tasks:Quadratic@0123456789ab', 'Quadratic-012345')
    """

    place: str
    name: str
    version: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """Read a reference.

        Raises:
            ValueError: it is none.
        """
        match = _REFERENCE.fullmatch(text)
        rule = "a part of one's own must be written <file>.py:<Name> or <package.module>:<Name>"
        require(match is not None, rule, text)
        require(len(text) <= LONGEST, f"a reference must have at most {LONGEST} characters", text)
        assert match is not None
        return cls(*(part or "" for part in match.groups()))

    def __str__(self) -> str:
        return f"{self.place}:{self.name}{self._pin}"

    @property
    def is_file(self) -> bool:
        """Whether the place is a file."""
        return self.place.endswith(".py")

    @property
    def module(self) -> str:
        """The module's name, which for a file is the file's."""
        return Path(self.place).stem if self.is_file else self.place

    @property
    def content(self) -> str:
        """What decides the object, wherever its file lies."""
        return f"{self.module}:{self.name}{self._pin}"

    @property
    def short(self) -> str:
        """A name for people, which tells one source from another."""
        return f"{self.name}-{self.digest[:6]}" if self.digest else self.name

    @property
    def _pin(self) -> str:
        version = f"{self.version}-" if self.version else ""
        return f"@{version}{self.digest}" if self.digest else ""


def is_reference(text: str) -> bool:
    """Tell a reference from a name.

    Example:
        >>> is_reference("my_tasks.py:Quadratic"), is_reference("linear")
        (True, False)
    """
    return ":" in text
