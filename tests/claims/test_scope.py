"""What stands for the study's cells is said in the verdict."""

import pytest
from planted_runs import World

from analysis.claims.cells import FARTHEST_LOOP, STUDIED_BS, STUDIED_SIZES
from analysis.claims.claims import CLAIMS, Verdict, judge
from analysis.claims.scope import Bs

STUDY = World()
BY_SLUG = {claim.slug: claim for claim in CLAIMS}


def finding_of(slug, n_loops=50, **study):
    (finding,) = judge(STUDY.but(n_loops=n_loops).study(**study), [BY_SLUG[slug]])
    return finding


def test_the_study_itself_needs_no_substitute():
    findings = judge(STUDY.study(STUDIED_SIZES, STUDIED_BS))
    assert {finding.substitute for finding in findings} == {""}
    assert {finding.verdict_in_words for finding in findings} == {"supported"}


@pytest.mark.parametrize(
    ("slug", "study", "substitute"),
    [
        ("small-loses-little", {"bs": (1, 5, 10), "n_loops": 24}, "here b = 5, 10; loop 24"),
        ("small-keeps-quality", {"bs": (1, 5, 10)}, "here b = 10"),
        ("small-improves-beyond", {"n_loops": 30}, "here loop 30"),
        ("order-of-magnitude", {"bs": (1, 5)}, "here b = 5"),
        ("plateau", {"bs": (1, 5, 10)}, "here b = 5, 10"),
        ("quality-grows-with-size", {"sizes": ("tiny", "small")}, "here sizes tiny, small"),
        ("tiny-improves-beyond", {"bs": (1, 5, 10)}, "here b = 10"),
        ("medium-degrades", {"bs": (1, 5, 10, 15, 20)}, "here b = 5, 10, 15, 20"),
        ("loss-gaps-shrink", {"bs": (1, 5, 10, 15, 20, 30)}, ""),
        ("last-loss-gap-invisible", {"bs": (1, 5, 10, 20)}, "here b = 5, 10"),
        ("loss-starts-equal", {"bs": (1, 10), "sizes": ("small", "medium")},
         "here b = 1, 10; sizes small, medium"),
    ],
)  # fmt: skip
def test_a_substitute_is_said_in_the_verdict(slug, study, substitute):
    finding = finding_of(slug, **study)
    assert finding.verdict is not Verdict.MISSING, finding
    assert finding.substitute == substitute
    expected = f"{finding.verdict} ({substitute})" if substitute else finding.verdict.value
    assert finding.verdict_in_words == expected


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.slug)
def test_every_claim_of_the_study_says_which_cells_it_speaks_of(claim):
    assert claim.scope is not None
    (finding,) = judge(STUDY.study(), [claim])
    named_loop = claim.scope.loop
    assert (
        named_loop is None
        or f"loop {min(named_loop, FARTHEST_LOOP)}" in finding.detail
        or (claim.scope.bs is Bs.LARGEST or "loops on" in finding.detail)
    )


def test_the_scope_is_part_of_the_rules_and_says_the_same_in_every_process():
    assert "0x" not in "".join(str(claim.scope) for claim in CLAIMS)
