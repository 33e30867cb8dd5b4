"""Times as a budget is given: 8h, 90m, 1h30m, 2d."""

import re

from looped.rules import require

SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
LONGEST_SECONDS = 10 * 366 * SECONDS["d"]
RULE = "budget must be a time as 8h, 90m, 1h30m, 45s or 2d"

_TIME = re.compile(
    r"(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?"
)


def budget_seconds(text: str) -> float:
    """Read a time.

    Raises:
        ValueError: it is none.

    Example:
        >>> budget_seconds("1h30m"), budget_seconds("0.5d")
        (5400.0, 43200.0)
        >>> budget_seconds("8")
        Traceback (most recent call last):
        ValueError: budget must be a time as 8h, 90m, 1h30m, 45s or 2d, got 8
    """
    match = _TIME.fullmatch(text) if len(text) < 50 else None
    numbers = match.groups() if match else ()
    seconds = sum(
        float(number) * unit
        for number, unit in zip(numbers, SECONDS.values(), strict=False)
        if number
    )
    require(0 < seconds <= LONGEST_SECONDS, RULE, text)
    return seconds


def written(seconds: float) -> str:
    """Write a time in the units in which a budget is given.

    Example:
        >>> [written(seconds) for seconds in (45, 150, 5_400, 200_000)]
        ['45s', '2m30s', '1h30m', '2d7h']
    """
    whole = max(1, round(seconds))
    words = []
    for unit, length in SECONDS.items():
        number, whole = divmod(whole, length)
        words.append(f"{number}{unit}" if number else "")
    first = next(place for place, word in enumerate(words) if word)
    return "".join(words[first : first + 2])
