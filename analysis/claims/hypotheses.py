"""Why would a large model extrapolate badly beyond its b? The study's three hypotheses.

1. It was trained on too little data. 2. A larger model works better at larger b. 3. Expressive
models overfit to their b. Each needs runs that differ in one thing (steps, b, how b is drawn), and
each is asked twice: at equal steps, and at equal FLOPs of training, since more steps, more loops
and long draws cost more. All of them explain a loss: where the runs do not show that the largest
size loses anything beyond its b, none is judged.
"""

from collections.abc import Callable, Sequence
from functools import partial

from analysis.claims.by_seed import NOTABLE_BITS, BySeed, Sense
from analysis.claims.cells import STUDIED_B, Cells
from analysis.claims.claim import Claim, Premise, Verdict
from analysis.claims.findings import Finding
from analysis.claims.measures import drawn_b, larger_b, more_data
from looped.b_draw import DISTRIBUTIONS


def _loses(measure: Callable[[Cells], BySeed]) -> Premise:
    failing = f"the largest size loses less than {NOTABLE_BITS} bits after b, nothing to explain"
    return Premise(failing, measure, NOTABLE_BITS)


_BETTER = f"{NOTABLE_BITS} bits, a ratio of errors of 1.15, is the least difference that counts"
_MORE = "the hypothesis says that the larger size has more of it, not how much more"
ABOVE, BELOW = Sense.ABOVE, Sense.BELOW

HYPOTHESES: tuple[Claim, ...] = (
    Claim(
        slug="more-data-equal-loops",
        statement=(
            "1. The largest size extrapolates badly because it saw too little data: with more "
            "steps it loses less beyond b."
        ),
        statistic=(
            "change in the bits lost from b to the farthest loop, fewest to most steps, mean over "
            "b > 1"
        ),
        sense=BELOW,
        threshold=-NOTABLE_BITS,
        reason=_BETTER,
        measure=more_data.change_with_steps,
        varies=("steps",),
        asked_of=more_data.of_several_lengths,
        beside=more_data.quality_with_steps,
        premise=_loses(more_data.shortest_loss),
    ),
    Claim(
        slug="more-data-equal-flops",
        statement=(
            "1. The same at equal training FLOPs: more steps at a smaller b lose less than fewer "
            "at a larger."
        ),
        statistic=(
            "bits lost from b to the farthest loop, more steps at a smaller b less fewest steps"
        ),
        sense=BELOW,
        threshold=-NOTABLE_BITS,
        reason=_BETTER,
        measure=more_data.change_at_flops,
        varies=("steps",),
        asked_of=more_data.of_several_lengths,
        premise=_loses(more_data.shortest_loss),
    ),
    Claim(
        slug="larger-b-quality-equal-steps",
        statement=(
            f"2. A larger model works better at larger b: beyond {STUDIED_B} the largest size "
            "gains more quality than the smaller ones."
        ),
        statistic="bits gained by larger b, the largest size less a smaller one, of the worst pair",
        sense=ABOVE,
        threshold=0,
        reason=_MORE,
        measure=larger_b.gain_at_larger_b,
        varies=("steps",),
        asked_of=larger_b.of_larger_b,
        premise=_loses(larger_b.loss_at_studied_b),
    ),
    Claim(
        slug="larger-b-extrapolation-equal-steps",
        statement=(
            f"2. Beyond b = {STUDIED_B} the largest size loses less and less after b, more so than "
            "the smaller ones."
        ),
        statistic=(
            "fall of the bits lost by equally many loops after b, the largest size less a smaller "
            "one, of the worst pair"
        ),
        sense=ABOVE,
        threshold=0,
        reason=_MORE,
        measure=larger_b.relief_at_larger_b,
        varies=("steps",),
        asked_of=larger_b.of_larger_b,
        premise=_loses(larger_b.loss_at_studied_b),
    ),
    Claim(
        slug="larger-b-quality-equal-flops",
        statement=(
            "2. At equal training FLOPs larger b serve the largest size better, against more "
            "steps, than they serve the smaller ones."
        ),
        statistic=(
            f"bits at b > {STUDIED_B} less those of more steps at b <= {STUDIED_B}, the largest "
            "size less a smaller one, of the worst pair"
        ),
        sense=ABOVE,
        threshold=0,
        reason=_MORE,
        measure=larger_b.gain_against_steps,
        varies=("steps",),
        asked_of=larger_b.of_larger_b,
        premise=_loses(larger_b.loss_at_studied_b),
    ),
    Claim(
        slug="larger-b-extrapolation-equal-flops",
        statement=(
            "2. At equal training FLOPs larger b keep what the largest size has after b better, "
            "against more steps, than they do for the smaller ones."
        ),
        statistic=(
            f"bits lost after b by more steps at b <= {STUDIED_B} less those by b > {STUDIED_B}, "
            "the largest size less a smaller one, of the worst pair"
        ),
        sense=ABOVE,
        threshold=0,
        reason=_MORE,
        measure=larger_b.relief_against_steps,
        varies=("steps",),
        asked_of=larger_b.of_larger_b,
        premise=_loses(larger_b.loss_at_studied_b),
    ),
    *(
        Claim(
            slug=f"random-b-{distribution.replace('_', '-')}-equal-{what}",
            statement=(
                f"3. Expressive models overfit to b: drawing b ({distribution}) makes the largest "
                f"size lose less beyond b, at equal {cost_words}."
            ),
            statistic=(
                "change in the bits lost from the mean b to the farthest loop, fixed to drawn, "
                "mean over b > 1"
            ),
            sense=BELOW,
            threshold=-NOTABLE_BITS,
            reason=_BETTER,
            measure=partial(measure, distribution=distribution),
            varies=("b_draw",),
            asked_of=drawn_b.of_several_draws,
            beside=partial(drawn_b.quality_with_draw, distribution=distribution),
            premise=_loses(drawn_b.fixed_loss),
        )
        for distribution in DISTRIBUTIONS
        if distribution != "fixed"
        for what, cost_words, measure in (
            ("steps", "steps", drawn_b.change_with_draw),
            ("flops", "expected training FLOPs", drawn_b.draw_at_flops),
        )
    ),
)


def joint_reading(findings: Sequence[Finding]) -> str:
    """Say what the three hypotheses' findings mean together.

    The study reads two false ones as support for the third. That is elimination among three that
    somebody thought of: it is said beside what a hypothesis' own runs say, never instead of it.
    """
    first, second, third = (
        _together([f.verdict for f in findings if f.claim.startswith(prefix)])
        for prefix in ("more-data", "larger-b", "random-b")
    )
    verdicts = (
        f"Too little data: {first}. Larger models work better at larger b: {second}. "
        f"Expressive models overfit to b: {third}. "
    )
    supported = [verdict for verdict in (first, second, third) if verdict is Verdict.SUPPORTED]
    if second is third is Verdict.CONTRADICTED:
        return verdicts + _ELIMINATION[first]
    if len(supported) > 1:
        return verdicts + f"{len(supported)} of them explain the loss, each by its own runs."
    if supported and first is not Verdict.SUPPORTED:
        return verdicts + (
            "One of the last two explains the loss by its own runs, so that the first is not "
            f"needed for it; what its own runs say of the first stands: {first}."
        )
    return verdicts + (
        "The last two are not both false, so that nothing follows for the first beyond what its "
        "own runs say."
    )


_ELIMINATION = {
    Verdict.SUPPORTED: (
        "The last two are false, which agrees with what the first one's own runs say."
    ),
    Verdict.CONTRADICTED: (
        "None of the three explains the loss: that the last two are false does not save the "
        "first, which its own runs contradict."
    ),
    Verdict.UNDECIDED: (
        "The last two are false, which in the study's reasoning supports the first; its own runs "
        "leave it undecided, and something that is none of the three may be the cause."
    ),
    Verdict.MISSING: (
        "The last two are false, which in the study's reasoning supports the first; it has no runs "
        "of its own here, and something that is none of the three may be the cause."
    ),
}
"""What follows where the last two are contradicted, by what the first one's own runs say."""


def _together(verdicts: Sequence[Verdict]) -> Verdict:
    """Join what is said of one hypothesis at equal steps and at equal FLOPs."""
    measured_verdicts = set(verdicts) - {Verdict.MISSING}
    if not measured_verdicts:
        return Verdict.MISSING
    if measured_verdicts == {Verdict.CONTRADICTED}:
        return Verdict.CONTRADICTED
    is_supported = (
        Verdict.SUPPORTED in measured_verdicts and Verdict.CONTRADICTED not in measured_verdicts
    )
    return Verdict.SUPPORTED if is_supported else Verdict.UNDECIDED
