"""Claims about training length, judged by the very numbers that the answers show.

They stand here and not in ``analysis/claims`` because what they measure is an answer: phi at each
length (``phi``), and E of two b at equal FLOPs (``equal_flops``).
"""

from collections.abc import Sequence

from scipy.special import stdtr, stdtrit

from analysis.answers.lengths import equal_flops, online
from analysis.answers.lengths.lengths import Lengths
from analysis.answers.lengths.phi import PhiByLength
from analysis.claims.by_seed import MissingRunsError, Parts, Sense, mean_of, needs
from analysis.claims.cells import Cells
from analysis.claims.claim import Claim
from analysis.claims.claims import CLAIMS
from analysis.claims.findings import Finding, finding_of_interval, missing_finding, weigh
from analysis.claims.hypotheses import HYPOTHESES
from analysis.claims.treatments import TREATMENTS
from analysis.runs.logged_run import LoggedRun

_WORDS = "the claim says which is the larger, not by how much"


def of_pairs(cells: Cells) -> Parts:
    """Return E of each b less E of each larger b at the FLOPs of the smaller's whole training."""
    parts = {
        f"{pair.size} at b = {pair.b} against {pair.larger_b}": pair.bits
        for pair in equal_flops.differences(cells.runs)
    }
    needs(parts, "two b of a size at equal FLOPs, with a common seed")
    return parts


def of_sizes(cells: Cells) -> Parts:
    """Return the same, the mean over the pairs of each size."""
    pairs = equal_flops.differences(cells.runs)
    needs(pairs, "two b of a size at equal FLOPs, with a common seed")
    sizes = dict.fromkeys(pair.size for pair in pairs)
    return {
        f"{size}, mean over pairs": mean_of([pair.bits for pair in pairs if pair.size == size])
        for size in sizes
    }


def _no_numbers_by_seed(_: Cells) -> Parts:
    raise MissingRunsError("needs phi at two lengths, which is no number of a seed")


PHI_RISES = Claim(
    slug="phi-rises-with-length",
    statement="What a loop is worth in weights, phi, rises with the length of the training, "
    "if every size obeys the joint law.",
    statistic="phi of the joint law at the longest training less that at the shortest",
    sense=Sense.ABOVE,
    threshold=0.0,
    reason=_WORDS,
    measure=_no_numbers_by_seed,
)

EQUAL_FLOPS = (
    Claim(
        slug="smaller-b-at-equal-flops",
        statement="At equal FLOPs of training the smaller b reaches more, in every pair of b of "
        "every size.",
        statistic="E of the smaller b less E of the larger, in bits, of the pair where it is least",
        sense=Sense.ABOVE,
        threshold=0.0,
        reason=_WORDS,
        measure=of_pairs,
    ),
    Claim(
        slug="smaller-b-at-equal-flops-on-average",
        statement="At equal FLOPs of training the smaller b reaches more at every size, in the "
        "mean over its pairs of b.",
        statistic="E of the smaller b less E of the larger, in bits, of the size where the mean "
        "over pairs is least",
        sense=Sense.ABOVE,
        threshold=0.0,
        reason=_WORDS,
        measure=of_sizes,
    ),
)

LENGTH_CLAIMS = (PHI_RISES, *EQUAL_FLOPS)
ALL_CLAIMS = (*CLAIMS, *HYPOTHESES, *TREATMENTS, *LENGTH_CLAIMS)
"""Everything that a report judges."""


def judge_lengths(runs: Sequence[LoggedRun], lengths: Lengths | str) -> list[Finding]:
    """Judge the claims about training length.

    Args:
        runs: of one recipe, those that learned, with their training curves.
        lengths: what they say; see ``read_lengths``.
    """
    if isinstance(lengths, str):
        return [missing_finding(claim, lengths) for claim in LENGTH_CLAIMS]
    cells = Cells(list(filter(online.has_lengths, runs)), reach=0)
    return [_phi_rises(lengths.phi), *(weigh(cells, [], claim) for claim in EQUAL_FLOPS)]


def _phi_rises(phi: PhiByLength | str) -> Finding:
    if isinstance(phi, str) or phi.rise is None:
        return missing_finding(PHI_RISES, phi if isinstance(phi, str) else _lack(phi))
    value, low, high = phi.rise
    error = (high - low) / 2 / stdtrit(phi.degrees, 0.975)
    tail = stdtr(phi.degrees, -abs(value) / error) if error > 0 else 0.0
    first, last = phi.table.iloc[0], phi.table.iloc[-1]
    remarks = ["that every size obeys the joint law is taken, not shown"]
    is_at_bound = bool(first["at_bound"] or last["at_bound"])
    if is_at_bound:
        remarks.insert(
            0, "phi is at the edge of what was searched, where leaving out seeds tells nothing"
        )
    ends = (
        f"{row['steps']:,.0f} steps {row['phi']:.2f} "
        f"[{row['lower_runs']:.2f}, {row['upper_runs']:.2f}]"
        for row in (first, last)
    )
    detail = "; ".join([*remarks, *ends, f"jackknife over {phi.n_clusters} seeds of sizes"])
    return finding_of_interval(
        PHI_RISES, (value, low, high), p=float(tail), detail=detail, is_undecided=is_at_bound
    )


def _lack(phi: PhiByLength) -> str:
    n_lengths = len(phi.table)
    return "needs two lengths of training" if n_lengths < 2 else "needs two seeds of every size"
