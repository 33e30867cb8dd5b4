"""The study's claims, each with the number that it comes to and a threshold from its own words.

A claim is added by one entry of ``CLAIMS``. Its threshold stands beside its reason and follows from
the words of the claim, never from an outcome.
"""

from collections.abc import Sequence

from analysis.claims import claim_measures as measures
from analysis.claims.by_seed import NOTABLE_BITS, Sense
from analysis.claims.findings import Claim, Finding, Verdict, comparable, findings_table, weigh
from analysis.runs.logged_run import LoggedRun

__all__ = ["CLAIMS", "INTERVALS", "Claim", "Finding", "Verdict", "findings_table", "judge"]

ABOVE, BELOW, WITHIN = Sense.ABOVE, Sense.BELOW, Sense.WITHIN
NOTABLE_RATIO = 4**NOTABLE_BITS
BEST_AT_ABOUT = 35

INTERVALS = (
    "Intervals are of 95 %: Student's t over seeds, in bits (half the binary logarithm of an "
    "error), paired by seed. A claim of several parts holds if its weakest part does, whose "
    "estimate is shown: the end of its interval that decides for the claim is the least "
    "favourable of the parts' 95 % intervals, which needs no correction (an intersection-union "
    "test); the end that decides against it takes intervals corrected for the number of parts "
    "(Bonferroni). So, as far as seeds go, either verdict is wrong in at most 2.5 % of studies."
)
"""How the intervals of findings are made, for those who read them."""

_NOTABLE = (
    f"{NOTABLE_BITS} bits, a ratio of {NOTABLE_RATIO:.2f}, is the least difference that counts"
)
_WORDS = "the claim says which is the larger, not by how much"


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "order-of-magnitude",
        "More loops lower the error by an order of magnitude, whatever the size.",
        "NMSE at b = 1 over NMSE at the largest b, of the size that gains least",
        ABOVE, 10, "an order of magnitude is a factor of 10",
        measures.gain, ratio=True,
    ),
    Claim(
        "smaller-passes-larger",
        "A smaller model trained at a larger b reaches and passes the next larger one at b = 1.",
        "bits of the smaller at its largest b less those of the larger at b = 1, of the worst pair",
        ABOVE, 0, "to pass is to be above; the largest b is taken, not the best, which would be "
        "picked by the same seeds",
        measures.lead_over_larger,
    ),
    Claim(
        "plateau",
        "Quality reaches a plateau in b.",
        "bits gained from the last b but one to the last, per doubling of b, of the size that "
        "gains most",
        BELOW, NOTABLE_BITS, f"{_NOTABLE}; here it would cost twice the loops",
        measures.last_gain, beside=measures.first_gain,
    ),
    Claim(
        "quality-grows-with-size",
        "At equal b the larger model is better: medium > small > tiny.",
        "bits of the larger less those of the smaller at equal b, mean over b, of the worst pair",
        ABOVE, 0, _WORDS,
        measures.lead_of_larger,
    ),
    Claim(
        "pressed-from-both-sides",
        "The larger the model, the lower its error at the first loop and far beyond b.",
        "NMSE of the smaller over NMSE of the larger at loop 1 and at the farthest loop, mean over "
        "trained b > 1, of the worst pair and side",
        ABOVE, 1, _WORDS,
        measures.both_sides, ratio=True,
    ),
    Claim(
        "small-improves-beyond",
        "Small trained at 10 and 15 improves when run for more loops, up to about 35.",
        f"NMSE at loop {BEST_AT_ABOUT} (or the farthest) over NMSE at b, of the worse b",
        BELOW, 1, "to improve is to fall below the error at b",
        lambda cells: measures.lost_by_loop(cells, min(BEST_AT_ABOUT, cells.far)), ratio=True,
    ),
    Claim(
        "small-keeps-quality",
        "Small trained at 10 and 15 is no worse at 50 loops than at b.",
        "NMSE at loop 50 (or the farthest) over NMSE at b, of the worse b",
        BELOW, NOTABLE_RATIO, f"{_NOTABLE}, and no worse means worse by less",
        lambda cells: measures.lost_by_loop(cells, cells.far), ratio=True,
    ),
    Claim(
        "small-loses-little",
        "Small loses little beyond b.",
        "NMSE at the farthest loop over NMSE at b, mean over b > 1",
        BELOW, 2, "little is less than the error itself: it does not double",
        lambda cells: measures.lost_beyond(cells, "small"), ratio=True,
    ),
    Claim(
        "medium-degrades",
        "Medium degrades beyond b and its error grows.",
        "NMSE at the farthest loop over NMSE at b, mean over b > 1",
        ABOVE, NOTABLE_RATIO, f"{_NOTABLE}; what grows by less is kept",
        lambda cells: measures.lost_beyond(cells, "medium"), ratio=True,
    ),
    Claim(
        "medium-degrades-less-with-b",
        "Medium degrades less beyond b, the larger its b.",
        "slope on b of the bits lost from b to the farthest loop, bits per loop",
        BELOW, 0, _WORDS,
        measures.lost_by_b,
    ),
    Claim(
        "tiny-improves-beyond",
        "Tiny even improves beyond its largest b.",
        "mean NMSE (geometric) over the loops beyond b over NMSE at b, at the largest b",
        BELOW, 1, "to improve is to fall below the error at b",
        measures.mean_later_loss, ratio=True,
    ),
    Claim(
        "larger-extrapolates-worse",
        "The larger the model, the more it loses beyond b: medium more than small, small more than "
        "tiny.",
        "bits lost from b to the farthest loop, the larger less the smaller at equal b, mean over "
        "b > 1, of the worst pair",
        ABOVE, 0, _WORDS,
        measures.excess_of_larger, beside=measures.loss_of_sizes,
    ),
    Claim(
        "loss-starts-equal",
        "The training loss starts equal at every b.",
        "ratio of the first logged loss to that at b = 1, in bits, of the size and b where it is "
        "farthest from none",
        WITHIN, NOTABLE_BITS, _NOTABLE,
        measures.starts,
    ),
    Claim(
        "loss-falls-sharply",
        "The training loss falls sharply at first.",
        "share of the whole fall, in bits, that the first fifth of the steps brings, mean over b, "
        "of the slowest size",
        ABOVE, 0.5, "most of it is more than half; an even fall would bring a fifth",
        measures.early_fall,
    ),
    Claim(
        "loss-differs-by-a-factor",
        "After the fall the loss at a b is that at b = 1 up to a factor.",
        "slope of the ratio of the losses, bits per doubling of the steps, mean over b > 1, of the "
        "size that drifts most",
        WITHIN, NOTABLE_BITS, f"{_NOTABLE}, and a factor alone would not change",
        measures.drifts, beside=measures.scatters,
    ),
    Claim(
        "loss-gaps-shrink",
        "At the end of training each gap between the losses of neighbouring b is smaller than the "
        "one before.",
        "a gap in bits less the next one, mean over sizes, of the worst pair of gaps",
        ABOVE, 0, _WORDS,
        measures.shrinking_gaps,
    ),
    Claim(
        "last-loss-gap-invisible",
        "At the end of training the last gap between the losses is hardly visible.",
        "gap in bits between the losses at the last two b, mean over sizes",
        WITHIN, NOTABLE_BITS, _NOTABLE,
        measures.last_gap,
    ),
)  # fmt: skip


def judge(runs: Sequence[LoggedRun], claims: Sequence[Claim] = CLAIMS) -> list[Finding]:
    """Judge every claim by those runs that it compares.

    Runs that never learned, or that nobody evaluated, are left out and counted. Of several recipes
    a claim takes the one with most runs.

    Args:
        runs: of one task.
        claims: what to judge.
    """
    chosen = {varies: comparable(runs, varies) for varies in {claim.varies for claim in claims}}
    return [weigh(*chosen[claim.varies], claim) for claim in claims]
