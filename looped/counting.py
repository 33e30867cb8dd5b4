"""How numbers of things are said."""

from typing import SupportsFloat


def counted(number: SupportsFloat, noun: str) -> str:
    """Say how many there are of something.

    Args:
        number: of them; a whole one.
        noun: for one; its plural takes an s.

    Example:
        >>> counted(1, "run"), counted(0, "run"), counted(1200, "run")
        ('1 run', '0 runs', '1,200 runs')
    """
    return f"{float(number):,.0f} {noun}{'' if number == 1 else 's'}"
