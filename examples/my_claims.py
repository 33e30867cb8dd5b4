"""A claim: half a bit, which is half of the error, is what loops gain at least."""

from analysis.claims.by_seed import Sense
from analysis.claims.claim import Claim
from analysis.claims.measures.study import gain

loops_help = Claim(
    slug="loops-help",
    statement="Loops halve the error at every size.",
    statistic="bits at the largest b less those at b = 1, of the size that gains least",
    sense=Sense.ABOVE,
    threshold=0.5,
    reason="half a bit of E is half of the error",
    measure=gain,
)
