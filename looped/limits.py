"""How large what comes from others may be, and the variables by which an operator raises that."""

import os
from dataclasses import dataclass

from looped.rules import require


@dataclass(frozen=True)
class Limit:
    """The most of something that is taken from others.

    Attributes:
        variable: of the environment; a whole number there takes the place of ``default``.
        default: the most, unless the variable says otherwise.
    """

    variable: str
    default: int

    @property
    def most(self) -> int:
        """The limit that holds now.

        Raises:
            ValueError: the variable holds no whole number of at least 1.
        """
        text = os.environ.get(self.variable, "").strip()
        if not text:
            return self.default
        is_whole = len(text) <= 18 and text.isascii() and text.isdecimal() and int(text) >= 1
        require(is_whole, f"{self.variable} must be a whole number of at least 1", text[:80])
        return int(text)

    def check(self, name: str, amount: int) -> None:
        """Raise ValueError if there is more than the limit."""
        most = self.most
        rule = f"{name} must be at most {most:,} here ({self.variable} raises it)"
        require(amount <= most, rule, f"{amount:,}" if amount < 10**18 else "far more")


LAYERS = Limit("LOOPED_MAX_LAYERS", 1_000)
PARAMETERS = Limit("LOOPED_MAX_PARAMETERS", 10**9)
TOKENS = Limit("LOOPED_MAX_TOKENS", 10_000)
LOOPS = Limit("LOOPED_MAX_LOOPS", 10_000)
PROMPTS = Limit("LOOPED_MAX_PROMPTS", 20_000)
WORK = Limit("LOOPED_MAX_WORK", 10**6)
"""Loops times prompts of one request to a served model."""
