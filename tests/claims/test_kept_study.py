"""What the 36 runs of ``results/h100`` say, as docs/claims.md tells it."""

import re
from collections import Counter
from math import isnan
from pathlib import Path

import pytest
from kept_runs import kept_runs

from analysis.claims.claims import judge
from analysis.claims.family import family_reading
from analysis.claims.hypotheses import HYPOTHESES

ROOT = Path(__file__).parents[2]
DOCS = " ".join((ROOT / "docs" / "claims.md").read_text().split())
README = " ".join((ROOT / "README.md").read_text().split())


@pytest.fixture(scope="module")
def findings():
    return judge(kept_runs())


def test_the_verdicts_are_those_that_the_docs_tell(findings):
    counts = Counter(finding.verdict.value for finding in findings)
    assert (
        f"{counts['supported']} claims are supported, {counts['contradicted']} contradicted and "
        f"{counts['undecided']} undecided; the hypotheses have no runs there."
    ) in DOCS
    assert {finding.verdict.value for finding in judge(kept_runs(), HYPOTHESES)} == {"not measured"}
    never = sum(bool(finding.outlook) and isnan(finding.seeds) for finding in findings)
    assert f"of {never} claims no number of seeds up to 30 decides" in DOCS


def test_the_page_of_findings_has_these_verdicts(findings):
    page = (ROOT / "docs" / "findings.md").read_text()
    table = page.partition("<!-- table: claims -->")[2]
    columns = re.search(r"\| claim \|.*", table)[0].split(" | ")
    (place,) = (i for i, title in enumerate(columns) if title.endswith(": h100, joint"))
    for finding in findings:
        row = re.search(rf"\(`{finding.claim}`\) \|.*", table)[0].split(" | ")
        assert row[place].split(";")[0] == finding.verdict.value, finding.claim


def test_the_family_is_what_the_docs_tell(findings):
    reading = family_reading(findings)
    assert "of 18, up to 0.45 would be expected wrong" in reading
    assert "3 stand (small-keeps-quality, small-loses-little, medium-degrades)" in reading


def test_the_claims_that_five_seeds_would_decide(findings):
    decidable = [finding.claim for finding in findings if finding.seeds <= 5]
    assert decidable == ["plateau", "larger-extrapolates-worse"]
    outlooks = [finding.outlook for finding in findings if finding.seeds <= 5]
    assert all(outlook.startswith("the estimate points the other way") for outlook in outlooks)


def test_readme_tells_of_its_limits_what_is_so(findings):
    counts = Counter(finding.verdict.value for finding in findings)
    assert 2 * counts["undecided"] == len(findings)
    assert f"half of the study's {len(findings)} claims stay undecided" in README
    states = Counter(run.convergence for run in kept_runs())
    assert (
        f"of the {len(kept_runs())} trainings {states['learning']} were surely still learning when "
        f"they ended, and of {states['cannot tell']} the curves cannot tell"
    ) in README
