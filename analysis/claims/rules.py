"""The claims' rules as two digests, which a grid keeps before its first training.

A rule that is changed once the runs are known can be made to say anything. So a grid's run is
tagged with what the rules were, and a report says whether they are the same today.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from analysis.claims.by_seed import LEVEL, NOTABLE_BITS
from analysis.claims.claim import Claim, Premise
from analysis.claims.claims import CLAIMS
from analysis.claims.hypotheses import HYPOTHESES
from analysis.claims.treatments import TREATMENTS
from looped.counting import counted
from looped.rules import digest

_CODE = (
    *("by_seed", "cells", "claim", "claims", "findings", "hypotheses", "measured", "scope"),
    "treatments",
)
"""The modules of this package that runs become verdicts by, beside all those of ``measures``."""


def rules_digests(claims: Sequence[Claim] = (*CLAIMS, *HYPOTHESES, *TREATMENTS)) -> str:
    """Return a digest of the claims' words and thresholds and one of the code that measures them.

    Comments and blank lines of the code do not count.

    Example:
        >>> [len(word) for word in rules_digests().split()]
        [12, 12]
    """
    words = {claim.slug: _plain(claim) for claim in claims}
    here = Path(__file__).parent
    modules = [*(here / f"{name}.py" for name in _CODE), *sorted(here.glob("measures/*.py"))]
    code = {str(module.relative_to(here)): _lines(module) for module in modules}
    levels = {"level": LEVEL, "notable_bits": NOTABLE_BITS}
    return f"{digest(words | levels)} {digest(code)}"


def rules_reading(kept_rules: Sequence[str | None], today: str) -> str:
    """Say whether the rules are those that were kept before the trainings; empty where none were.

    Args:
        kept_rules: of each training what its grid's run is tagged with; None where there is no tag.
        today: of ``rules_digests``.
    """
    counts = Counter(_change(before, today) for before in kept_rules if before is not None)
    if not counts:
        return ""
    without = kept_rules.count(None)
    parts = [
        f"{change} ({counted(counts[change], 'training')})" for change in _CHANGES if counts[change]
    ]
    if without:
        parts.append(f"nothing was kept ({counted(without, 'training')})")
    rules = "The claims' rules, against those kept before the grid's first training"
    return f"{rules}: {'; '.join(parts)}."


_SAME, _OTHER_CODE, _OTHER_WORDS = _CHANGES = (
    "the same",
    "the same words and thresholds, but the code that measures them has changed since",
    "words or thresholds have changed since",
)


def _change(before: str, today: str) -> str:
    if before == today:
        return _SAME
    return _OTHER_CODE if before.split()[:1] == today.split()[:1] else _OTHER_WORDS


def _plain(value: Claim | Premise) -> dict[str, Any]:
    """Take the values of a claim that are no functions."""
    plain: dict[str, Any] = {}
    for field in fields(value):
        content = getattr(value, field.name)
        if isinstance(content, Premise):
            plain[field.name] = _plain(content)
        elif not callable(content):
            plain[field.name] = str(content)
    return plain


def _lines(path: Path) -> list[str]:
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]
