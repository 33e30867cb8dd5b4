"""Claims and figures of one's own in a report: judged, drawn, and no harm to the rest."""

import planted_report
import pytest
from page_blocks import ROOT

from analysis.claims.claim import Verdict
from analysis.claims.claims import judge
from analysis.report import own_parts
from analysis.report.subject import choose

CLAIM, FIGURE = (
    f"{ROOT}/examples/my_{word}" for word in ("claims.py:loops_help", "figures.py:seeds")
)
RUNS = [
    planted_report.run(size, b, seed)
    for size, bits in planted_report.BITS.items()
    for b in bits
    for seed in planted_report.SEEDS
]


@pytest.fixture(scope="module")
def subject():
    return choose(RUNS, {})[0]


def test_the_examples_claim_is_judged_by_its_own_threshold(tmp_path):
    parts = own_parts.find([CLAIM], None)
    (finding,) = judge(RUNS, parts.claims)
    # tiny gains 1.4 bits and small 0.8, every seed the same
    assert finding.estimate == pytest.approx(0.8)
    assert finding.verdict is Verdict.SUPPORTED
    assert finding.claim.startswith("loops-help-")
    text = (ROOT / "examples" / "my_claims.py").read_text().replace("=0.5", "=0.9")
    (tmp_path / "my_claims.py").write_text(text)
    (stricter,) = judge(RUNS, own_parts.find([f"{tmp_path}/my_claims.py:loops_help"], None).claims)
    assert stricter.verdict is Verdict.CONTRADICTED
    assert stricter.claim != finding.claim


def test_the_examples_figure_is_drawn_of_the_runs(subject):
    (exhibit,) = own_parts.find(None, [FIGURE]).exhibits(subject)
    assert len(exhibit.table) == len(RUNS)
    assert exhibit.result == "The seeds of a cell scatter by 0.10 bits at most."
    assert exhibit.figure is not None


def test_what_fails_costs_itself_alone(tmp_path, subject):
    text = (ROOT / "examples" / "my_claims.py").read_text()
    broken = text.replace("measure=gain", "measure=lambda cells: cells.nothing")
    (tmp_path / "my_claims.py").write_text(broken)
    (tmp_path / "my_figures.py").write_text("def seeds(subject):\n    return subject.nothing\n")
    parts = own_parts.find(
        [f"{tmp_path}/my_claims.py:loops_help"], [f"{tmp_path}/my_figures.py:seeds"]
    )
    (finding,) = judge(RUNS, parts.claims)
    assert finding.verdict is Verdict.MISSING
    assert "needs a measure that works, got AttributeError" in finding.detail
    (exhibit,) = parts.exhibits(subject)
    assert "AttributeError" in exhibit.lacks[0]
    assert exhibit.figure is None


@pytest.mark.parametrize(
    ("claims", "figures", "message"),
    [
        ([FIGURE], None, "must be a Claim, got function"),
        (None, [CLAIM], "must be a function of a Subject"),
        (["nothing.py:a"], None, "must be in a file that is there, got nothing.py"),
    ],
)
def test_what_is_none_is_refused_in_a_line(claims, figures, message):
    with pytest.raises(ValueError, match=message):
        own_parts.find(claims, figures)
