"""The answer in a sentence or two: it says what is there, and no more."""

import re
from dataclasses import replace
from types import SimpleNamespace

import planted_report
import pytest
from planted_report import run

from analysis.answers.exchange import Crossing
from analysis.claims.claims import judge
from analysis.report import headline as module
from analysis.report.headline import headline
from analysis.scaling.fit import FitStatus

INFINITY = float("inf")
RUNS = planted_report.runs()
"""Tiny gains 1.4 bits and loses 0.5 beyond b, small gains 0.8 and loses 0.25, with every seed."""


def fit_of(status=FitStatus.OK, sizes=("tiny", "small"), bs=(1, 5, 10)):
    return SimpleNamespace(status=status, run_table=SimpleNamespace(sizes=sizes, bs=bs))


@pytest.fixture
def with_crossing(monkeypatch):
    """Let the law say which b lifts one size to another."""

    def say(b, lower, upper, runs=RUNS, **fit):
        crossing = Crossing(b, lower, upper)
        monkeypatch.setattr(module, "exchange_rate", lambda fit, size, target: crossing)
        return str(headline(runs, fit_of(**fit)))

    return say


def scattered(runs, by_seed):
    """Let the error at b = 1, and so the gain, differ from seed to seed."""
    return [
        run(r.config.size, 1, r.config.seed, bits=by_seed[r.config.seed]) if r.config.b == 1 else r
        for r in runs
    ]


def test_all_of_it_in_two_sentences(with_crossing):
    assert with_crossing(6.2, 4.9, 8.1) == (
        "Training at 10 loops instead of one divides the error of tiny by 7 [7, 7] and of small "
        "by 3 [3, 3]; by "
        "the fitted law it takes b = 7 [4, 9] to lift tiny to small at b = 1. Run on to 20 loops, "
        "the further loops multiply the error of tiny by 2 [2, 2] and of small by 1.4 [1.4, 1.4]."
    )


@pytest.mark.parametrize(
    ("crossing", "fit", "words"),
    [
        ((6.2, 4.9, float("inf")), {}, "it may take b = 7 [4, never] to lift tiny to small"),
        ((6.2, 1.0, float("inf")), {}, "it is undecided which b lifts tiny to small at b = 1 ("),
        ((60.0, 40.0, 80.0), {}, "it may take b = 60 [40, 80], beyond what was trained, to lift"),
        ((INFINITY, 40.0, INFINITY), {}, "no b lifts tiny to small at b = 1, though b = 40"),
        ((INFINITY,) * 3, {}, "no b lifts tiny to small at b = 1. "),
        ((6.2, 4.9, 8.1), {"status": FitStatus.AT_BOUND}, "whose fit ended AT_BOUND, it takes"),
        ((6.2, 4.9, 8.1), {"status": FitStatus.SHAPE_UNKNOWN}, "as these runs test no law. "),
    ],
)  # fmt: skip
def test_a_lift_is_said_as_surely_as_the_law_says_it(with_crossing, crossing, fit, words):
    text = with_crossing(*crossing, **fit)
    assert words in text
    assert ("it takes" in text) == (crossing[2] == 8.1 and fit.get("status", FitStatus.OK)
                                    is not FitStatus.SHAPE_UNKNOWN)  # fmt: skip


def test_without_a_law_it_says_why():
    text = str(headline(RUNS, None, "a law needs more"))
    assert (
        "; which b lifts a size to the next cannot be said without a law (a law needs more). "
        in (text)
    )


def test_one_size_has_none_to_reach():
    text = str(headline([r for r in RUNS if r.config.size == "tiny"], None, "no law"))
    assert "lift" not in text and "divides the error of tiny by 7 [7, 7]. Run on" in text


@pytest.mark.parametrize("bs", [(5,), (1,), (5, 10)])
def test_without_b_1_and_a_larger_b_nothing_is_said_of_the_gain(bs):
    text = str(headline([r for r in RUNS if r.config.b in bs], None, "no law"))
    assert text.startswith(
        "What looping adds cannot be said, as it takes runs of one seed at b = 1"
    )
    assert f"these are of b = {', '.join(map(str, bs))}." in text
    assert ("Run on" in text) == (bs != (1,))


def test_one_seed_shows_nothing():
    answer = headline([r for r in RUNS if r.config.seed == 2], None, "no law")
    assert str(answer).startswith(
        "Whether training at 10 loops instead of one lowers the error of tiny (divided by 7) and "
        "of small "
        "(divided by 3) is undecided;"
    )
    assert "whether the error of tiny (times 2) and of small (times 1.4) is kept is undecided" in (
        str(answer)
    )
    assert "[" not in str(answer)
    assert "A ratio without an interval is of one seed, which shows nothing." in answer.reading


def test_what_the_seeds_leave_open_is_undecided():
    runs = scattered(RUNS, {1: 0.5, 2: 1.4, 3: 3.5})
    text = str(headline(runs, None, "no law"))
    assert text.startswith(
        "Whether training at 10 loops instead of one lowers the error of tiny (divided by"
    )
    assert "is undecided; " in text


def test_an_error_that_grows_by_looping_is_said_to():
    runs = scattered(RUNS, {1: 2.9, 2: 3.0, 3: 3.1})
    text = str(headline(runs, None, "no law"))
    assert text.startswith(
        "Training at 10 loops instead of one multiplies the error of tiny by 2.3 [2.3, 2.3]"
    )


def test_what_stays_is_kept_and_what_falls_is_said_to(monkeypatch):
    monkeypatch.setitem(planted_report.LOST, "tiny", 0.05)
    monkeypatch.setitem(planted_report.LOST, "small", -0.5)
    text = str(headline(planted_report.runs(), None, "no law"))
    assert "tiny (times 1.07 [1.07, 1.07]) keeps the error at b; " in text
    assert "the further loops divide the error of small by 2 [2, 2]." in text


def test_models_that_run_away_are_counted_and_not_averaged():
    def away(logged_run):
        errors = [*logged_run.loops["nmse"][:15], *[float("inf")] * 5]
        return replace(logged_run, loops={**logged_run.loops, "nmse": errors})

    runs = [away(r) if r.config.size == "tiny" and r.config.seed == 1 else r for r in RUNS]
    text = str(headline(runs, None, "no law"))
    assert "multiply the error of small by 1.4 [1.4, 1.4]; 2 of 6 models of tiny run away." in text


def test_runs_that_did_not_learn_are_left_out_and_counted():
    stuck = [run("tiny", 10, seed, bits=0.0, plateau=True) for seed in (8, 9)]
    assert str(headline([*RUNS, *stuck], None)) == str(headline(RUNS, None))
    assert "Runs left out: 2 plateaued." in headline([*RUNS, *stuck], None).reading
    nothing = headline(stuck, None)
    assert str(nothing).startswith("No run has learned") and "2 plateaued" in nothing.reading


def test_it_says_what_the_claims_say():
    by_claim = {finding.claim: finding for finding in judge(RUNS)}
    text = str(headline(RUNS, None))
    most, least = (
        by_claim[slug].estimate
        for slug in ("order-of-magnitude-at-some-size", "order-of-magnitude")
    )
    numbers = [float(number) for number in re.findall(r"of \w+ by ([\d.]+)", text)]
    assert numbers[:2] == [pytest.approx(most, rel=0.05), pytest.approx(least, rel=0.05)]
    assert numbers[3] == pytest.approx(by_claim["small-loses-little"].estimate, rel=0.05)
