"""What the pages say of the laws of the kept studies is what their fits print."""

import re
import subprocess
import sys

import pytest
from page_blocks import ROOT

pytestmark = pytest.mark.slow

FIT = """
import dataclasses, json, sys
from pathlib import Path
from analysis.answers.answers import answer
from analysis.answers.text import describe
from analysis.runs.journals import read_folder
from analysis.runs.logged_run import CURVES
from analysis.runs.selection import select
from analysis.scaling.fit import fit_scaling

def of_tail(run):
    journal = Path(sys.argv[1], run.run_id, "journal.jsonl")
    records = map(json.loads, journal.read_text().splitlines())
    (evaluation,) = (record for record in records if record["kind"] == "evaluation")
    loops = {name: evaluation["loops"][f"tail_{name}"] for name in CURVES}
    return dataclasses.replace(run, loops=loops)

runs = read_folder(Path(sys.argv[1]))
if "tail" in sys.argv:
    runs = list(map(of_tail, runs))
selection = select(runs)
fit = fit_scaling(selection.table)
print(describe(answer(selection, fit, runs, 1000)))
"""
WORDS = {11: "eleven", 15: "Fifteen"}


def text_of_fit(*argv):
    """Fit in a process without beartype, as a user does."""
    text = subprocess.check_output([sys.executable, "-c", FIT, *argv], cwd=ROOT, text=True)
    return " ".join(text.split())


def page(name):
    return " ".join((ROOT / name).read_text("utf-8").split())


def found_in(text, pattern):
    """Return what the groups of a pattern match, where it is in a text once or more."""
    match = re.search(pattern, text)
    assert match, pattern
    return match.groups()


def short(value):
    """Write a number with two digits, as pages do."""
    return value if value == "never" else f"{float(value):.2g}"


def n_forms_that_stand(text):
    table = text.partition("[[Forms]]")[2].partition("[[Verdict]]")[0]
    deltas = re.findall(r"[\w/]+ \d+ (\d+\.\d\d) \d\.\d{3} ", table)
    return sum(float(delta) <= 6 for delta in deltas)


def crossing(text, size, target):
    line = rf"{size} reaches {target} at b = 1: b = (\S+) \[([^,]+), (\w+)\]"
    middle, low, high = map(short, found_in(text, line))
    return f"b = {middle} [{low}, {high}]"


def test_the_study_is_told_as_it_is_fitted():
    fit, text = text_of_fit("results/h100"), page("docs/the-study.md")
    (n_mixed,) = found_in(fit, r"The average of (\d+) forms predicts")
    (weight,) = found_in(fit, r"have (\S+) of the weight together")
    by_b = found_in(fit, r"With one b left out .*? errs by (\S+) bits, a straight .*? by ([\d.]+):")
    by_size = found_in(fit, r"With one size left .*? errs by (\S+) bits, the mean .*? by ([\d.]+):")
    b_error, line_error, size_error, gain_error = (*by_b, *by_size)
    flops = found_in(
        fit, r"tiny reaches small at .*? FLOPs: (\S+ \[[^]]+\]) times small's to train"
    )
    last = [
        found_in(fit, rf"{size}: b = (\d+ \[\d+, \d+\])")[0] for size in ("tiny", "small", "medium")
    ]
    doublings = [
        found_in(fit, rf"{cells} (\S+ \[[^]]+\])")[0]
        for cells in (
            "tiny:1 to tiny:2",
            "tiny:5 to tiny:10",
            "medium:5 to medium:10",
            "tiny:5 to small:5",
        )
    ]
    first, second, third, fourth = doublings
    (alike,) = found_in(fit, r"seeds = correlation (\S+) of")
    for statement in (
        f"{WORDS[n_forms_that_stand(fit)]} forms stand within 6 of the least AICc, and the average "
        f"of {n_mixed} predicts",
        f"alone have {weight} of the weight",
        f"errs by {b_error} bits, a straight line in log b between the neighbours by {line_error}",
        f"left out by {size_error}, the mean gain of the other sizes by {gain_error}",
        f"*Tiny reaches small* at {crossing(fit, 'tiny', 'small')}, for {flops[0]} times",
        f"*small reaches medium* at {crossing(fit, 'small', 'medium')}",
        f"from b = {last[0]} on for tiny, {last[1]} for small, {last[2]} for medium",
        f"buys tiny {first.replace(' [', ' bits [')} by a second loop and {second} from b = 5",
        f"medium {third}; going from tiny to small at b = 5 buys {fourth}",
        f"err alike (correlation {alike})",
    ):
        assert statement in text, statement


def test_the_quick_study_is_told_as_it_is_fitted():
    fit, text = text_of_fit("results/quick", "tail"), page("docs/grids.md")
    weight, tiny, small, gain = (
        found_in(fit, r"the first of them are logarithmic/shared_gain \((\S+?)\)")[0],
        *(
            found_in(fit, rf"{name} *: (\S+ \[[^]]+\])")[0]
            for name in (r"E_M\[tiny\]", r"E_M\[small\]", "gain")
        ),
    )
    tiny, small, gain = (
        "{:.{n}f} [{:.{n}f}, {:.{n}f}]".format(*map(float, re.findall(r"[\d.]+", words)), n=n)
        for words, n in ((tiny, 1), (small, 1), (gain, 2))
    )
    (alike,) = found_in(fit, r"seeds = correlation (\S+) of")
    (n_mixed,) = found_in(fit, r"The average of (\d+) forms predicts")
    for statement in (
        f"{WORDS[n_forms_that_stand(fit)]} forms cannot be told apart, and the average of "
        f"{n_mixed} predicts",
        f"with {weight} of the weight, tiny has {tiny.replace(' [', ' bits [')} and small {small} "
        f"at b = 1, and both gain {gain} with every doubling of b",
        f"Tiny reaches small at {crossing(fit, 'tiny', 'small')}, beyond what was trained",
        f"(correlation {alike})",
    ):
        assert statement in text, statement


ERROR = r"([\d.,]+(?: \[[^]]+\])?)"


@pytest.mark.parametrize(
    ("study", "bs"), [("results/h100", (5, 10, 15)), ("results/quick", (1, 2, 4, 8))]
)
def test_one_law_of_all_curves_is_told_as_it_is_fitted(study, bs):
    fit, text = text_of_fit(study), page("docs/extrapolation.md")
    for b in bs:
        line = rf" b = {b}(, an end|) {ERROR} .*? from loop b on {ERROR}"
        end, of_law, moved = found_in(fit, line)
        row = f"| b = {b}{end} | {_per_cent(of_law)} | {_per_cent(moved)} |"
        assert row in text, row
    if study == "results/h100":
        for name in ("f_0", "f_x", "f_b"):
            value, low, high = map(short, found_in(fit, rf" {name} (\S+) \[(\S+), (\S+)\]"))
            assert f"{name} = {value} [{low}, {high}]" in text, name
    of_law, moved = found_in(fit, rf"loops beyond 10 {ERROR} .*? from loop 10 on {ERROR}")
    assert f"| loops beyond 10 | {_per_cent(of_law)} | {_per_cent(moved)} |" in text


def _per_cent(words):
    """Put the sign where pages have it: ``9 [0, 25]`` becomes ``9 % [0, 25]``."""
    value, _, span = words.partition(" ")
    return f"{value} % {span}".rstrip()
