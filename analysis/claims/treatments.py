"""Claims about ways of training one model: windows, truncation, ties, drawn loops, rates.

They are judged where runs differ in what they ask about, and not spoken of elsewhere.
"""

from collections.abc import Sequence
from functools import partial

from analysis.claims.by_seed import NOTABLE_BITS, Sense
from analysis.claims.claim import Claim, Premise, Verdict
from analysis.claims.claims import judge
from analysis.claims.findings import Finding
from analysis.claims.measures import rates
from analysis.claims.measures import treatments as measures
from analysis.runs.logged_run import LoggedRun
from looped.b_draw import DISTRIBUTIONS

_NOTABLE = f"{NOTABLE_BITS} bits, a ratio of errors of 1.15, is the least difference that counts"
_ABOUT = "mean over sizes and b > 1"
_SHARES = {0.5: "the last half of the loops", 1: "the last loop"}
_REACHES = {0.5: "half of the loops", 1: "one loop"}

TREATMENTS: tuple[Claim, ...] = (
    *(
        Claim(
            slug=f"loss-window-{'half' if share < 1 else 'last'}",
            statement=(
                f"A loss on {words} alone, at full gradient, keeps more of what a model has "
                "beyond b than a loss on all loops."
            ),
            statistic=f"change in the bits lost from b to the farthest loop, {_ABOUT}",
            sense=Sense.BELOW,
            threshold=-NOTABLE_BITS,
            reason=_NOTABLE,
            measure=partial(measures.change_of_lost, setting="loss_window", value=share),
            varies=("loss_window",),
            beside=partial(measures.change_of_bits, setting="loss_window", value=share),
            premise=Premise(
                f"with a loss on all loops less than {NOTABLE_BITS} bits are lost after b",
                partial(measures.full_loss, share=share),
                NOTABLE_BITS,
            ),
        )
        for share, words in _SHARES.items()
    ),
    *(
        Claim(
            slug=f"grad-window-{'half' if share < 1 else 'one'}",
            statement=(
                f"Letting gradients go back through {words} at most, with the loss on all loops, "
                "costs quality at b."
            ),
            statistic=f"change in bits at b, {_ABOUT}",
            sense=Sense.BELOW,
            threshold=-NOTABLE_BITS,
            reason=_NOTABLE,
            measure=partial(measures.change_of_bits, setting="grad_window", value=share),
            varies=("grad_window",),
            beside=partial(measures.change_of_lost, setting="grad_window", value=share),
        )
        for share, words in _REACHES.items()
    ),
    Claim(
        slug="tying-costs-at-equal-loops",
        statement="At equal size and loops, b stacks of their own are better than one looped.",
        statistic=f"bits at b of untied models over looped ones, {_ABOUT}",
        sense=Sense.ABOVE,
        threshold=NOTABLE_BITS,
        reason=_NOTABLE,
        measure=partial(measures.change_of_bits, setting="tied", value=False, default=True),
        varies=("tied",),
    ),
    Claim(
        slug="tying-pays-at-equal-parameters",
        statement="At equal parameters and loops a wide looped model is better than a narrow one "
        "with b stacks of its own.",
        statistic="bits at b of looped models, interpolated between sizes in log weights, over "
        f"untied ones of as many weights, {_ABOUT}",
        sense=Sense.ABOVE,
        threshold=NOTABLE_BITS,
        reason=_NOTABLE,
        measure=measures.cost_at_parameters,
        varies=("tied",),
    ),
    *(
        Claim(
            slug=f"by-prompt-{distribution.replace('_', '-')}",
            statement=(
                f"Drawing b ({distribution}) for each prompt rather than each step lowers the "
                "error at few loops."
            ),
            statistic=f"bits gained after a quarter of b loops, {_ABOUT}",
            sense=Sense.ABOVE,
            threshold=NOTABLE_BITS,
            reason=_NOTABLE,
            measure=partial(measures.change_after_few, distribution=distribution),
            varies=("b_draw_unit", "b_draw"),
        )
        for distribution in DISTRIBUTIONS
        if distribution != "fixed"
    ),
    Claim(
        slug="own-rate",
        statement="Of the rates that were tried none is notably better than the size's own, at "
        "any size and b.",
        statistic="bits at b over those at the size's own rate, of the cell and the rate that "
        "gain most",
        sense=Sense.BELOW,
        threshold=NOTABLE_BITS,
        reason=_NOTABLE,
        measure=rates.gains_over_own,
        varies=rates.VARIES,
    ),
)


def judge_treatments(runs: Sequence[LoggedRun]) -> list[Finding]:
    """Judge those claims that some runs of a task measure."""
    findings = judge(runs, TREATMENTS)
    return [finding for finding in findings if finding.verdict is not Verdict.MISSING]
