"""The study's claims, each with the number that it comes to and a threshold from its own words.

A claim is added by one entry of ``CLAIMS``. Its threshold stands beside its reason and follows from
the words of the claim, never from an outcome.
"""

from collections.abc import Sequence

from analysis.claims.by_seed import NOTABLE_BITS, Sense
from analysis.claims.cells import FARTHEST_LOOP
from analysis.claims.claim import Claim, Verdict
from analysis.claims.findings import Finding, comparable, findings_table, weigh
from analysis.claims.measures import study as measures
from analysis.claims.scope import Bs, Scope
from analysis.runs.logged_run import LoggedRun

__all__ = ["CLAIMS", "INTERVALS", "Claim", "Finding", "Verdict", "findings_table", "judge"]

ABOVE, BELOW, WITHIN = Sense.ABOVE, Sense.BELOW, Sense.WITHIN
NOTABLE_RATIO = 4**NOTABLE_BITS
BEST_AT_ABOUT = 35

INTERVALS = (
    "Intervals are of 95 %: Student's t over seeds, in bits (half the binary logarithm of an "
    "error), paired by seed. A claim of several parts holds if its weakest part does, whose "
    "estimate is shown, and says of how many it is the least (or greatest): that is farther out "
    "than the truth more often than not, and the interval allows for it. The end of the interval "
    "that decides for the claim is the least favourable of the parts' 95 % intervals, which needs "
    "no correction (an intersection-union test); the end that decides against it takes intervals "
    "corrected for the number of parts (Bonferroni), and for both sides where the claim is about "
    "an absolute value. Where the compared runs kept their error on each held-out prompt, and the "
    "claim is about errors after b or after the last loop, the interval holds the error of the "
    "paired difference over these prompts too; else verdicts are about these very prompts. So, as "
    "far as seeds go, either verdict is wrong in at most 2.5 % of studies. That needs seeds whose "
    "numbers are normally distributed, which three seeds cannot show: where one training in ten "
    "fails, a verdict was wrong in 6 % of simulated studies. The seeds that would decide what is "
    "undecided would do so in four studies of five (30 are the "
    "most), were the truth what was measured. Three seeds tell their scatter to a factor of 0.7 to "
    "3.1 only, so that a number of seeds is a guide, and the nearer the threshold the rougher."
)
"""How the intervals of findings are made, for those who read them."""

_NOTABLE = (
    f"{NOTABLE_BITS} bits, a ratio of {NOTABLE_RATIO:.2f}, is the least difference that counts"
)
_WORDS = "the claim says which is the larger, not by how much"


CLAIMS: tuple[Claim, ...] = (
    Claim(
        slug="order-of-magnitude",
        statement="More loops lower the error by an order of magnitude, at every size.",
        statistic="NMSE at b = 1 over NMSE at the largest b, of the size that gains least",
        sense=ABOVE,
        threshold=10,
        reason="an order of magnitude is a factor of 10",
        measure=measures.gain,
        ratio=True,
        scope=Scope(bs=Bs.LARGEST),
    ),
    Claim(
        slug="order-of-magnitude-at-some-size",
        statement="More loops lower the error by an order of magnitude, at one size at least.",
        statistic="NMSE at b = 1 over NMSE at the largest b, of the size that gains most",
        sense=ABOVE,
        threshold=10,
        reason="an order of magnitude is a factor of 10, and the study does not say for which size",
        measure=measures.gain,
        for_some=True,
        ratio=True,
        scope=Scope(bs=Bs.LARGEST),
    ),
    Claim(
        slug="smaller-passes-larger",
        statement=(
            "A smaller model trained at a larger b reaches and passes the next larger one at b = 1."
        ),
        statistic=(
            "bits of the smaller at its largest b less those of the larger at b = 1, of the worst "
            "pair"
        ),
        sense=ABOVE,
        threshold=0,
        reason=(
            "to pass is to be above; the largest b is taken, not the best, which would be picked "
            "by the same seeds"
        ),
        measure=measures.lead_over_larger,
        scope=Scope(bs=Bs.LARGEST),
    ),
    Claim(
        slug="plateau",
        statement="Quality reaches a plateau in b.",
        statistic=(
            "bits gained from the last b but one to the last, per doubling of b, of the size that "
            "gains most"
        ),
        sense=BELOW,
        threshold=NOTABLE_BITS,
        reason=f"{_NOTABLE}; here it would cost twice the loops",
        measure=measures.last_gain,
        beside=measures.first_gain,
        scope=Scope(bs=Bs.LAST_TWO),
    ),
    Claim(
        slug="quality-grows-with-size",
        statement="At equal b the larger model is better: medium > small > tiny.",
        statistic=(
            "bits of the larger less those of the smaller at equal b, mean over b, of the worst "
            "pair"
        ),
        sense=ABOVE,
        threshold=0,
        reason=_WORDS,
        measure=measures.lead_of_larger,
        scope=Scope(bs=Bs.EVERY),
    ),
    Claim(
        slug="pressed-from-both-sides",
        statement="The larger the model, the lower its error at the first loop and far beyond b.",
        statistic=(
            "NMSE of the smaller over NMSE of the larger at loop 1 and at the farthest loop, mean "
            "over trained b > 1, of the worst pair and side"
        ),
        sense=ABOVE,
        threshold=1,
        reason=_WORDS,
        measure=measures.both_sides,
        ratio=True,
        scope=Scope(bs=Bs.EVERY, loop=FARTHEST_LOOP),
    ),
    Claim(
        slug="small-improves-beyond",
        statement="Small trained at 10 and 15 improves when run for more loops, up to about 35.",
        statistic=f"NMSE at loop {BEST_AT_ABOUT} (or the farthest) over NMSE at b, of the worse b",
        sense=BELOW,
        threshold=1,
        reason="to improve is to fall below the error at b",
        measure=lambda cells: measures.lost_by_loop(cells, min(BEST_AT_ABOUT, cells.farthest_loop)),
        ratio=True,
        scope=Scope(bs=Bs.NAMED, sizes=("small",), loop=BEST_AT_ABOUT),
    ),
    Claim(
        slug="small-keeps-quality",
        statement="Small trained at 10 and 15 is no worse at 50 loops than at b.",
        statistic="NMSE at loop 50 (or the farthest) over NMSE at b, of the worse b",
        sense=BELOW,
        threshold=NOTABLE_RATIO,
        reason=f"{_NOTABLE}, and no worse means worse by less",
        measure=lambda cells: measures.lost_by_loop(cells, cells.farthest_loop),
        ratio=True,
        scope=Scope(bs=Bs.NAMED, sizes=("small",), loop=FARTHEST_LOOP),
    ),
    Claim(
        slug="small-loses-little",
        statement="Small loses little beyond b.",
        statistic="NMSE at the farthest loop over NMSE at b, mean over b > 1",
        sense=BELOW,
        threshold=2,
        reason="little is less than the error itself: it does not double",
        measure=lambda cells: measures.lost_beyond(cells, "small"),
        ratio=True,
        scope=Scope(bs=Bs.EVERY, sizes=("small",), loop=FARTHEST_LOOP),
    ),
    Claim(
        slug="medium-degrades",
        statement="Medium degrades beyond b and its error grows.",
        statistic="NMSE at the farthest loop over NMSE at b, mean over b > 1",
        sense=ABOVE,
        threshold=NOTABLE_RATIO,
        reason=f"{_NOTABLE}; what grows by less is kept",
        measure=lambda cells: measures.lost_beyond(cells, "medium"),
        ratio=True,
        scope=Scope(bs=Bs.EVERY, sizes=("medium",), loop=FARTHEST_LOOP),
    ),
    Claim(
        slug="medium-degrades-less-with-b",
        statement="Medium degrades less beyond b, the larger its b.",
        statistic="slope on b of the bits lost by equally many loops after b, bits per loop",
        sense=BELOW,
        threshold=0,
        reason=_WORDS,
        measure=measures.lost_by_b,
        scope=Scope(bs=Bs.EVERY, sizes=("medium",), loop=FARTHEST_LOOP),
    ),
    Claim(
        slug="tiny-improves-beyond",
        statement="Tiny even improves beyond its largest b.",
        statistic="mean NMSE (geometric) over the loops beyond b over NMSE at b, at the largest b",
        sense=BELOW,
        threshold=1,
        reason="to improve is to fall below the error at b",
        measure=measures.mean_later_loss,
        ratio=True,
        scope=Scope(bs=Bs.LARGEST, sizes=("tiny",), loop=FARTHEST_LOOP),
    ),
    Claim(
        slug="larger-extrapolates-worse",
        statement=(
            "The larger the model, the more it loses beyond b: medium more than small, small more "
            "than tiny."
        ),
        statistic=(
            "bits lost from b to the farthest loop, the larger less the smaller at equal b, mean "
            "over b > 1, of the worst pair"
        ),
        sense=ABOVE,
        threshold=0,
        reason=_WORDS,
        measure=measures.excess_of_larger,
        beside=measures.loss_of_sizes,
        scope=Scope(bs=Bs.EVERY, loop=FARTHEST_LOOP),
    ),
    Claim(
        slug="loss-starts-equal",
        statement="The training loss starts equal at every b.",
        statistic=(
            "ratio of the first logged loss to that at b = 1, in bits, of the size and b where it "
            "is farthest from none"
        ),
        sense=WITHIN,
        threshold=NOTABLE_BITS,
        reason=_NOTABLE,
        measure=measures.starts,
        scope=Scope(bs=Bs.EVERY),
    ),
    Claim(
        slug="loss-falls-sharply",
        statement="The training loss falls sharply at first.",
        statistic=(
            "share of the whole fall, in bits, that the first fifth of the steps brings, mean "
            "over b, of the slowest size"
        ),
        sense=ABOVE,
        threshold=0.5,
        reason="most of it is more than half; an even fall would bring a fifth",
        measure=measures.early_fall,
        scope=Scope(bs=Bs.EVERY),
    ),
    Claim(
        slug="loss-differs-by-a-factor",
        statement="After the fall the loss at a b is that at b = 1 up to a factor.",
        statistic=(
            "slope of the ratio of the losses, bits per doubling of the steps, mean over b > 1, "
            "of the size that drifts most"
        ),
        sense=WITHIN,
        threshold=NOTABLE_BITS,
        reason=f"{_NOTABLE}, and a factor alone would not change",
        measure=measures.drifts,
        beside=measures.scatters,
        scope=Scope(bs=Bs.EVERY),
    ),
    Claim(
        slug="loss-gaps-shrink",
        statement=(
            "At the end of training each gap between the losses of neighbouring b is smaller than "
            "the one before."
        ),
        statistic="a gap in bits less the next one, mean over sizes, of the worst pair of gaps",
        sense=ABOVE,
        threshold=0,
        reason=_WORDS,
        measure=measures.shrinking_gaps,
        scope=Scope(bs=Bs.OF_GAPS),
    ),
    Claim(
        slug="last-loss-gap-invisible",
        statement="At the end of training the last gap between the losses is hardly visible.",
        statistic="gap in bits between the losses at the last two b, mean over sizes",
        sense=WITHIN,
        threshold=NOTABLE_BITS,
        reason=_NOTABLE,
        measure=measures.last_gap,
        scope=Scope(bs=Bs.OF_LAST_GAP),
    ),
)


def judge(runs: Sequence[LoggedRun], claims: Sequence[Claim] = CLAIMS) -> list[Finding]:
    """Judge every claim by those runs that it compares.

    Runs that never learned, or that nobody evaluated, are left out and counted. Of several recipes
    a claim takes the one with most runs.

    Args:
        runs: of one task.
        claims: what to judge.
    """
    comparables = {
        varies: comparable(runs, varies) for varies in {claim.varies for claim in claims}
    }
    return [weigh(*comparables[claim.varies], claim) for claim in claims]
