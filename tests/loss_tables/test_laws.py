"""Laws of tables whose answers are known: planted, published, or those of our own runs."""

import csv
from pathlib import Path

import kept_runs
import numpy as np
import pandas as pd
import pytest

from analysis.answers.loops.loop_curves import curve, fit_curves
from analysis.loss_tables import laws, text
from analysis.loss_tables.files import LossTableError, read_rows
from analysis.loss_tables.laws import fit_table
from analysis.runs.selection import tabulate_runs
from analysis.scaling.fit import FitStatus, fit_scaling
from looped import datasets

TABLES = Path(__file__).parents[1] / "fixtures" / "tables"
FEW_FORMS = ["power", "logarithmic/of_E_M"]
PUBLISHED = {"L_inf": 1.57, "alpha": 0.199, "phi": 0.459, "beta": 0.369}
"""Of arXiv:2604.21106; its noise is 0.010 nats. A and B, which it gives at one token, are ours."""


@pytest.fixture(autouse=True)
def few_forms(monkeypatch):
    """Fit three forms in place of 23."""

    def fit_few(points, forms=None, form=None, **options):
        names = [name for name in FEW_FORMS if forms is None or name in forms]
        return fit_scaling(points, names, form, **options)

    monkeypatch.setattr(laws, "fit_scaling", fit_few)


def iso_depth(rng, noise=0.010):
    """The 116 cells of the published design, with losses by the published law."""
    with (TABLES / "isodepth_grid.csv").open() as file:
        grid = list(csv.DictReader(line for line in file if not line.startswith("#")))
    generator, rows = np.random.default_rng(rng), []
    for row in grid:
        width = 64 * int(row["s"])
        once = 48 * width**2
        for r in (1, 2, 4, 8):
            rec = (192 if r == 1 else 192 / r + 2) * width**2
            assert (once + rec) / 1e6 == pytest.approx(float(row[f"n_r{r}"]), rel=0.01)
            for tokens in (float(row[name]) for name in row if name.startswith("d_") and row[name]):
                weights = once + r ** PUBLISHED["phi"] * rec
                loss = PUBLISHED["L_inf"] + 1.2 * (weights / 1e8) ** -PUBLISHED["alpha"]
                loss += 0.6 * tokens ** -PUBLISHED["beta"] + noise * generator.normal()
                rows.append({"size": f"s{row['s']}", "b": r, "n_once": once, "n_rec": rec,
                             "tokens": tokens, "loss": loss})  # fmt: skip
    return rows


def holds(fit, name, truth):
    row = fit.parameters.set_index("name").loc[name]
    return row["lower"] <= truth <= row["upper"]


@pytest.mark.parametrize("rng", [0, 1])
def test_the_published_law_is_found_in_its_own_design(rng):
    rows = iso_depth(rng)
    assert len(rows) == 116
    table_fit = fit_table(rows, "nats", {"length": "tokens"}, resamples=100)
    joint = table_fit.joint
    assert joint.quantity.loss == "nats" and len(joint.sizes) == 11
    assert [holds(joint, name, truth) for name, truth in PUBLISHED.items()] == [True] * 4
    value, lower, upper = joint.phi
    assert upper - lower < 0.1 and value == pytest.approx(0.459, abs=0.03)
    assert "got 2 of s6 at b = 1" in table_fit.fit  # lengths: the law of b has no term for them
    assert "nats = L_inf + A" in text.describe(table_fit)


@pytest.mark.slow
def test_its_interval_holds_it_as_often_as_it_says():
    n_held = sum(
        holds(fit_table(iso_depth(i), "nats", {"length": "tokens"}, resamples=100).joint,
              "phi", PUBLISHED["phi"]) for i in range(60)
    )  # fmt: skip
    assert n_held >= 52  # of 95 % of 60 fewer come by chance once in a hundred


def test_chinchillas_form_is_found_at_b_1_from_weights_alone():
    generator = np.random.default_rng(5)
    rows = [
        {"size": f"{n:.3g}", "b": 1, "n_params": n,
         "loss": 1.69 + 406.4 * n**-0.34 + 0.002 * generator.normal()}
        for n in np.geomspace(4e7, 1.6e10, 24)
    ]  # fmt: skip
    table_fit = fit_table(rows, "nats", resamples=100)
    joint = table_fit.joint
    assert list(joint.parameters["name"]) == ["L_inf", "A", "alpha"]
    assert holds(joint, "alpha", 0.34) and holds(joint, "L_inf", 1.69)
    assert holds(joint, "A", 406.4 * joint.n_reference**-0.34)
    assert "b beyond 1" in table_fit.fit
    assert "say nothing of phi" in text.describe(table_fit)


def test_the_kept_trainings_as_a_table_give_the_law_of_the_runs():
    of_table = fit_table(datasets.load("h100-joint").runs, "nmse", resamples=100)
    runs = tabulate_runs(kept_runs.kept_runs(), {})
    of_runs = fit_scaling(runs, FEW_FORMS, resamples=100)
    question = {"size": ["tiny", "small", "medium"], "b": [30, 7, 15]}
    assert of_table.fit.predict(question) == pytest.approx(of_runs.predict(question), abs=1e-9)
    assert np.array(of_table.fit.interval(question)) == pytest.approx(
        np.array(of_runs.interval(question)), abs=1e-9
    )
    assert of_table.fit.run_table.errors == pytest.approx(of_runs.run_table.errors)
    by_hand = fit_table("examples/losses.csv", "nmse",
                        {"size": "model", "b": "r", "seed": "rep"}, resamples=100)  # fmt: skip
    assert by_hand.fit.predict(question) == pytest.approx(of_runs.predict(question), abs=1e-9)


def losses(seeds=3, sizes=("S", "M", "L"), rng=0):
    generator = np.random.default_rng(rng)
    start = {"S": 3.4, "M": 3.1, "L": 2.9}
    return [
        {"size": size, "b": b, "seed": seed,
         "loss": start[size] * 2 ** (-0.05 * np.log2(b)) + 0.01 * generator.normal()}
        for size in sizes for b in (1, 2, 4, 8) for seed in range(seeds)
    ]  # fmt: skip


def test_gains_do_not_hang_on_the_reference():
    gains = []
    for reference in (3.5, 10.8, None):
        fit = fit_table(losses(), "nats", reference=reference, form="logarithmic/of_E_M",
                        resamples=100).fit  # fmt: skip
        question = {"size": ["S", "L"], "b": [16, 16]}
        gains.append(fit.predict(question) - fit.predict({**question, "b": [1, 1]}))
    assert gains[0] == pytest.approx(4 * 0.05, abs=0.01)
    for further_gains in gains[1:]:
        assert further_gains == pytest.approx(gains[0], abs=1e-5)


def test_a_small_gain_that_is_sure_is_not_at_the_edge_of_the_search():
    rows = [{**row, "loss": 3 - (3 - row["loss"]) / 2} for row in losses()]
    fit = fit_table(rows, "nats", resamples=100).fit
    gain = fit.best.parameters().set_index("name").loc["gain"]
    assert 0.01 < gain["value"] < 0.04 and gain["lower"] > 0
    assert fit.status is FitStatus.OK


def test_without_a_reference_no_form_multiplies_e_m():
    table_fit = fit_table(losses(), "nats", resamples=100)
    assert "power" not in table_fit.fit.fits
    assert "2 bits are the largest mean loss" in table_fit.notices[0]
    means = pd.DataFrame(losses()).query("size == 'S' and b == 1")["loss"].mean()
    assert table_fit.conversion.bits([means]) == pytest.approx(2)
    assert "power" in fit_table(losses(), "nats", reference=9.0, resamples=100).fit.fits
    with pytest.raises(LossTableError, match="without a reference, got power"):
        fit_table(losses(), "nats", form="power", resamples=100)


def test_sizes_without_b_1_are_left_out_and_the_rest_is_fitted():
    rows = [row for row in losses() if row["size"] != "M" or row["b"] > 1]
    table_fit = fit_table(rows, "nats", reference=9.0, resamples=100)
    alone = fit_table(losses(), "nats", reference=9.0, sizes=["S", "L"], resamples=100)
    assert table_fit.fit.run_table.sizes == ("S", "L")
    assert any("no loss at b = 1: M" in notice for notice in table_fit.notices)
    rest = fit_table([r for r in rows if r["size"] != "M"], "nats", reference=9.0, resamples=100)
    assert (table_fit.fit.best.theta == rest.fit.best.theta).all()
    assert len(alone.fit.run_table.values) == 24


def test_one_training_a_cell_gives_no_verdict_on_the_shape():
    rows = [{name: cell for name, cell in row.items() if name != "seed"} for row in losses(1)]
    table_fit = fit_table(rows, "nats", resamples=100)
    assert table_fit.fit.verdict.startswith(
        "No verdict on the shape: it takes cells with two seeds"
    )
    assert any("has no seed" in notice for notice in table_fit.notices)


@pytest.mark.parametrize(
    ("rows", "rule"),
    [
        ([row for row in losses() if row["b"] > 1], "every size must have runs at b = 1"),
        ([row for row in losses() if row["b"] == 1], "must have b beyond 1, got b = 1 alone"),
        ([{**row, "task": row["size"]} for row in losses()], "must share their task"),
    ],
)
def test_a_table_that_tells_nothing_is_refused_in_a_line(rows, rule):
    with pytest.raises(LossTableError, match=rule) as refusal:
        fit_table(rows, "nats", resamples=100)
    assert "\n" not in str(refusal.value)


def test_the_order_of_rows_does_not_matter():
    rows = losses()
    shuffled = [rows[i] for i in np.random.default_rng(1).permutation(len(rows))]
    first, second = (fit_table(each, "nats", resamples=100).fit for each in (rows, shuffled))
    assert first.best.theta == pytest.approx(second.best.theta, abs=1e-9)


def test_sparse_loops_give_the_curve_that_all_loops_give():
    parameters = np.array([[1.0, 2.0, 0.4, 0.8, 0.8, 0.05, 12.0]])
    every, sparse = np.arange(1, 129), [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128]
    values = curve(every.astype(float), parameters)[0]
    dense, also_dense = (
        fit_curves([values.tolist()], [10], loops) for loops in (None, [every.tolist()])
    )
    pd.testing.assert_frame_equal(dense, also_dense)
    of_sparse = fit_curves([values[np.array(sparse) - 1].tolist()], [10], [sparse]).iloc[0]
    assert of_sparse["peak_loop"] == pytest.approx(dense["peak_loop"][0], abs=1)
    assert of_sparse["lost"] == pytest.approx(dense["lost"][0], abs=0.05)
    few = fit_curves([[1.0, 2.0, 3.0]], [4], [[1, 2, 4]]).iloc[0]
    assert np.isnan(few["peak_loop"])


def test_perplexity_against_loops_that_are_sparse():
    columns = {"loop": "n_loops", "value": "random_no_act"}
    table_fit = fit_table(TABLES / "openmythos_loops.csv", "perplexity", columns)
    (row,) = table_fit.curves.to_dict("records")
    assert (row["n_evaluated"], row["best_loop"], row["last_loop"]) == (11, 12, 64)
    assert 8 <= row["peak_loop"] <= 24 and row["rmse"] < 0.001
    assert "got no column b" in table_fit.fit


def test_a_table_of_language_models_as_it_was_published():
    path = "examples/looped_nanochat_bpb.csv"
    columns = {"b": "trained_r", "loop": "eval_r", "value": "val_bpb", "n_params": "params"}
    with pytest.raises(LossTableError, match=r"got 0.8333 and 0.8342 for size S20, b 4, loop 4"):
        fit_table(path, "bpb", columns)
    table_fit = fit_table(path, "bpb", columns, where={"sampled": "0"}, resamples=100)
    assert any("no loss at b = 1: S12" in notice for notice in table_fit.notices)
    assert "got 1" in table_fit.fit  # one size and one training a cell are left
    assert len(table_fit.joint.sizes) == 2  # which needs no b = 1
    best = table_fit.curves.set_index(["size", "b"])["best_loop"]
    assert best.to_dict() == {("S20", 4): 4, ("S20", 6): 6, ("S12", 4): 4}


def test_a_wide_table_is_made_long_as_the_page_says():
    wide = pd.DataFrame(read_rows(TABLES / "tlab_E001_pilot.csv"))
    long = wide.melt(["arm", "train_loops", "seed"], var_name="loop", value_name="nll")
    long["loop"] = long["loop"].str[1:]
    columns = {"size": "arm", "b": "train_loops", "value": "nll"}
    table_fit = fit_table(long, "nats", columns)
    assert len(table_fit.curves) == 18
    of_b = table_fit.curves.groupby("b")["best_loop"].agg(["min", "max"])
    assert of_b.to_numpy().tolist() == [[1, 1], [4, 4]]  # each is best where it was trained
    with pytest.raises(LossTableError, match="what holds size"):
        fit_table(TABLES / "enwik8_depth_sweep.csv", "nats", {"b": "T", "value": "parcae"})
