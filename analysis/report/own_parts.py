"""Claims and figures of the user's own files, which a report judges and draws beside its own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from analysis.claims.by_seed import MissingRunsError, Parts
from analysis.claims.cells import Cells
from analysis.claims.claim import Claim
from analysis.claims.claims import judge
from analysis.claims.findings import Finding
from analysis.report.exhibit import Exhibit
from analysis.report.subject import Subject
from analysis.runs.logged_run import LoggedRun
from looped.plugins import loading
from looped.rules import one_line, require


@dataclass(frozen=True)
class OwnParts:
    """What a report shows besides what all reports show.

    Attributes:
        claims: each under a slug that tells one source, and so one threshold, from another.
        figures: by name, functions that make an ``Exhibit`` of a ``Subject``.
    """

    claims: tuple[Claim, ...] = ()
    figures: tuple[tuple[str, Callable[[Subject], Exhibit]], ...] = ()

    def findings(self, runs: Sequence[LoggedRun]) -> list[Finding]:
        """Judge the claims by all runs of a task."""
        return judge(runs, self.claims)

    def exhibits(self, subject: Subject) -> list[Exhibit]:
        """Draw the figures; of one that fails it is said why."""
        return [_drawn(name, draw, subject) for name, draw in self.figures]


NOTHING = OwnParts()


def find(claims: Sequence[str] | None, figures: Sequence[str] | None) -> OwnParts:
    """Load claims and figures.

    Args:
        claims: where they are, as ``my_claims.py:loops_help``, or installed names; None for none.
        figures: likewise.

    Raises:
        ValueError: one is not there, or is no ``Claim`` and no function.
    """
    return OwnParts(
        tuple(_claim(word) for word in claims or ()),
        tuple(_figure(word) for word in figures or ()),
    )


def _claim(word: str) -> Claim:
    reference = loading.pin("claims", word)
    claim: Claim = loading.load(reference)
    require(isinstance(claim, Claim), f"{word} must be a Claim", type(claim).__name__)
    slug = f"{claim.slug}-{reference.digest[:6]}"
    return replace(claim, slug=slug, measure=_guarded(claim.measure))


def _guarded(measure: Callable[[Cells], Parts]) -> Callable[[Cells], Parts]:
    """Let a measure that fails cost its own claim alone."""

    def measure_or_say(cells: Cells) -> Parts:
        try:
            return measure(cells)
        except MissingRunsError:
            raise
        except Exception as error:
            came = f"{type(error).__name__}: {one_line(error)}"
            raise MissingRunsError(f"needs a measure that works, got {came}") from error

    return measure_or_say


def _figure(word: str) -> tuple[str, Callable[[Subject], Exhibit]]:
    reference = loading.pin("figures", word)
    draw: Any = loading.load(reference)
    rule = f"{word} must be a function of a Subject that returns an Exhibit"
    require(callable(draw), rule, type(draw).__name__)
    return reference.short, draw


def _drawn(name: str, draw: Callable[[Subject], Exhibit], subject: Subject) -> Exhibit:
    try:
        exhibit = draw(subject)
        require(isinstance(exhibit, Exhibit), "it must return an Exhibit", type(exhibit).__name__)
    except Exception as error:
        reason = f"your figure {name}: {type(error).__name__}: {one_line(error)}"
        return Exhibit(name=name, title=name, look_for="", lacks=(reason,))
    return replace(exhibit, name=name)
