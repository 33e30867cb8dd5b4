"""Claims about training length, on curves whose truth is planted; see also ``test_lengths``."""

import numpy as np
import pandas as pd
import pytest
from planted_curves import planted_study

from analysis.answers.lengths import equal_flops
from analysis.answers.lengths.claims import LENGTH_CLAIMS, judge_lengths
from analysis.answers.lengths.lengths import Lengths
from analysis.answers.lengths.phi import PhiByLength
from analysis.claims.claims import Verdict
from analysis.claims.rules import rules_digests

FLAT = PhiByLength(
    table=pd.DataFrame(
        {"steps": [200.0, 400.0], "phi": [0.4, 0.5], "lower_runs": 0.3, "upper_runs": 0.6,
         "at_bound": False}
    ),
    rise=None, n_clusters=6, degrees=4,
)  # fmt: skip


def rising(rise, at_bound=False):
    return PhiByLength(
        table=FLAT.table.assign(at_bound=at_bound), rise=rise, n_clusters=6, degrees=4
    )


def verdicts(runs, phi="not asked"):
    findings = judge_lengths(runs, Lengths(phi=phi))
    assert [finding.claim for finding in findings] == [claim.slug for claim in LENGTH_CLAIMS]
    return [finding.verdict for finding in findings]


@pytest.mark.parametrize(
    ("factor", "verdict"), [(10.0, Verdict.SUPPORTED), (0.1, Verdict.CONTRADICTED)]
)
def test_which_b_reaches_more_at_equal_flops_is_what_was_planted(factor, verdict):
    rng = np.random.default_rng(0)

    def error(config, step):
        return factor ** np.log2(config.b) * step**-0.5 * np.exp(0.02 * rng.normal())

    assert verdicts(planted_study(error, bs=(1, 2)))[1:] == [verdict, verdict]


@pytest.mark.parametrize(
    ("phi", "verdict", "p"),
    [
        (rising((0.5, 0.1, 0.9)), Verdict.SUPPORTED, 0.0128),
        (rising((-0.5, -0.9, -0.1)), Verdict.CONTRADICTED, 0.0128),
        (rising((0.1, -0.3, 0.5)), Verdict.UNDECIDED, 0.2632),
        (rising((0.5, 0.1, 0.9), at_bound=True), Verdict.UNDECIDED, 0.0128),
        (FLAT, Verdict.MISSING, None),
        ("the joint law needs 2 sizes or more, got 1", Verdict.MISSING, None),
    ],
)
def test_whether_phi_rises_is_read_from_its_interval(phi, verdict, p):
    finding, *_ = judge_lengths([], Lengths(phi=phi))
    assert finding.verdict is verdict
    assert p is None or finding.p == pytest.approx(p, abs=1e-3)
    assert (finding.p < 0.025) == (p is not None and (finding.low > 0 or finding.high < 0))


def test_without_curves_or_a_second_b_nothing_is_measured():
    assert set(verdicts([])) == {Verdict.MISSING}
    one_b = planted_study(lambda _, step: step**-0.5, bs=(2,))
    assert set(verdicts(one_b)) == {Verdict.MISSING}
    assert not equal_flops.differences(one_b)
    findings = judge_lengths([], "no curve")
    assert {finding.detail for finding in findings} == {"no curve"}


def test_grids_keep_their_words_before_the_first_training():
    assert rules_digests(LENGTH_CLAIMS) != rules_digests(LENGTH_CLAIMS[1:])
