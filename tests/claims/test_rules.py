"""Whether the claims' rules are those that a grid kept before its first training."""

from dataclasses import replace

import pytest

from analysis.claims import rules
from analysis.claims.claims import CLAIMS
from analysis.claims.hypotheses import HYPOTHESES
from analysis.claims.rules import rules_digests, rules_reading
from analysis.claims.treatments import TREATMENTS

ALL = (*CLAIMS, *HYPOTHESES, *TREATMENTS)


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": 9}, {"statement": "Other."}, {"reason": "for no reason"}, {"for_some": True},
        {"premise": replace(HYPOTHESES[0].premise, least=0.2)}, {"varies": ("b_draw",)},
    ],
)  # fmt: skip
def test_a_rule_that_changes_changes_the_digest(change):
    words, code = rules_digests().split()
    changed_words, same_code = rules_digests((replace(ALL[0], **change), *ALL[1:])).split()
    assert changed_words != words
    assert same_code == code


def test_a_claim_less_or_more_changes_the_digest():
    digests = {rules_digests(ALL), rules_digests(ALL[1:]), rules_digests((*ALL, CLAIMS[0]))}
    assert len(digests) == 2  # the same claim twice is no other rule


def test_code_that_measures_changes_the_other_digest_and_its_comments_do_not(tmp_path, monkeypatch):
    def digest_of(code):
        (tmp_path / "by_seed.py").write_text(code)
        return rules_digests()

    monkeypatch.setattr(rules, "__file__", str(tmp_path / "rules.py"))
    monkeypatch.setattr(rules, "_CODE", ("by_seed",))
    first = digest_of("LEVEL = 0.95\n")
    assert digest_of("# why\n\nLEVEL = 0.95\n") == first
    second = digest_of("LEVEL = 0.9\n")
    assert second.split()[0] == first.split()[0]
    assert second.split()[1] != first.split()[1]


def test_every_module_that_runs_become_verdicts_by_is_hashed():
    folder = {path.stem for path in rules.Path(rules.__file__).parent.glob("*.py")}
    rest = {"__init__", "family", "pilot", "plan", "power", "rules"}  # beside the verdicts
    assert folder - rest == set(rules._CODE)


@pytest.mark.parametrize(
    ("kept_rules", "says"),
    [
        (["a b"] * 3, "first training: the same (3 trainings)."),
        (["a c"] * 2, "the same words and thresholds, but the code that measures them has changed "
         "since (2 trainings)."),
        (["c b"], "words or thresholds have changed since (1 training)."),
        (["a b", "c d", None, None], "the same (1 training); words or thresholds have changed "
         "since (1 training); nothing was kept (2 trainings)."),
        ([""], "words or thresholds have changed since (1 training)."),
    ],
)  # fmt: skip
def test_a_report_says_whether_they_changed(kept_rules, says):
    reading = rules_reading(kept_rules, "a b")
    assert reading.startswith("The claims' rules, against those kept before the grid's first")
    assert reading.endswith(says)


@pytest.mark.parametrize("kept_rules", [[], [None], [None, None]])
def test_where_nothing_was_kept_nothing_is_said(kept_rules):
    assert rules_reading(kept_rules, "a b") == ""
