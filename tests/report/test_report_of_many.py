"""A report of many seeds draws and lists as many as can be read, and says what it leaves out."""

import pandas as pd
import planted_report
import pytest
from planted_report import subject_of, xs_and_ys

from analysis.claims.claims import judge
from analysis.claims.findings import MOST_LISTED, findings_table
from analysis.report import files, markup
from analysis.report.exhibit import Exhibit
from analysis.report.figures import loss, performance
from analysis.report.seeds import MOST_DRAWN

N_SEEDS = MOST_DRAWN + 5


@pytest.fixture(scope="module")
def subject():
    runs = [
        planted_report.run("tiny", b, seed, bits=b / 5 + 0.01 * (seed % 7))
        for b in (1, 5)
        for seed in range(N_SEEDS)
    ]
    return subject_of(runs)


def test_a_mark_for_each_of_the_first_seeds_and_a_mean_of_all(subject):
    exhibit = performance.exhibit(subject)
    errors = xs_and_ys(exhibit.figure.axes[0], "_tiny, seeds")[1]
    table = exhibit.table
    is_drawn = table["seed"] < MOST_DRAWN
    assert sorted(errors) == sorted(table["nmse"][is_drawn])
    assert xs_and_ys(exhibit.figure.axes[0], "tiny")[1] == pytest.approx(
        0.25 ** table.groupby("b")["expressivity"].mean()
    )
    assert len(table) == 2 * N_SEEDS
    assert f"up to {N_SEEDS}, the first {MOST_DRAWN} are drawn" in exhibit.caption
    assert "are drawn" not in performance.exhibit(subject_of()).caption


def test_a_panel_for_each_of_the_first_seeds_and_a_table_of_all(subject, monkeypatch):
    monkeypatch.setattr(loss, "MOST_PANELS", 2)
    (exhibit,) = loss.exhibits(subject)
    titles = [axes.get_title(loc="left") for axes in exhibit.figure.axes]
    assert list(filter(None, titles)) == ["seed 0", "seed 1"]
    assert exhibit.table["seed"].nunique() == N_SEEDS
    assert f"the first 2 of {N_SEEDS} seeds" in exhibit.caption


def test_curves_smoothed_together_are_those_smoothed_one_by_one(subject):
    of_one = [loss.curves(subject_of([run]))["smoothed"] for run in subject.runs[:3]]
    together = loss.curves(subject)["smoothed"]
    assert together[: sum(map(len, of_one))].tolist() == pd.concat(of_one).tolist()


def test_a_finding_lists_the_first_seeds_and_says_of_how_many(subject):
    details = findings_table(judge(subject.runs))["detail"]
    listed = [text.split("(seeds: ")[1].split(")")[0] for text in details if "(seeds: " in text]
    assert listed
    for text in listed:
        *numbers, last = text.split(", ")
        assert last == f"the first {MOST_LISTED} of {N_SEEDS}"
        assert len(numbers) == MOST_LISTED


@pytest.mark.parametrize("n_rows", [3, 4])
def test_a_long_further_table_begins_on_the_page_and_is_whole_in_a_file(
    tmp_path, monkeypatch, n_rows
):
    monkeypatch.setattr(markup, "MOST_DETAILS", 3)
    monkeypatch.setattr(markup, "MOST_ROWS", 2)
    table = pd.DataFrame({"seed": range(n_rows)})
    exhibit = Exhibit(name="states", title="States", look_for="", details={"each": table})
    files._write(tmp_path, exhibit)
    words = markup.words_of(exhibit, "linear/states")
    is_long = n_rows > 3
    assert words.count("<td>") == (2 if is_long else 3)
    assert ("The first 2 of 4 rows; all are in linear/states-1.csv." in words) == is_long
    path = tmp_path / "states-1.csv"
    assert path.exists() == is_long
    assert not is_long or pd.read_csv(path).equals(table)
