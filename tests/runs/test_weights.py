"""Whose E is read: the last step's or that of the mean of the last weights, never a mixture."""

import os
from dataclasses import replace

import planted_report
import pytest
from planted_study import log_training

from analysis.publish import law_registry
from analysis.runs.accounts import convergence_account, weights_account
from analysis.runs.load import read_runs, with_tails
from analysis.runs.selection import SelectionError, select
from analysis.runs.weights import choose_weights, of_weights
from looped.config import TrainConfig

CONFIG = TrainConfig(size="small", b=5, seed=7)


@pytest.fixture
def experiment(store):
    return os.environ["MLFLOW_EXPERIMENT_ID"]


def log_pair(store, experiment, second_tail_bits):
    """Two runs of 2 bits, whose means have 2.5 bits, if any."""
    ids = [
        log_training(store, experiment, replace(CONFIG, seed=seed), 2.0, tail_bits=tail_bits)
        for seed, tail_bits in ((1, 2.5), (2, second_tail_bits))
    ]
    runs = {run.run_id: run for run in read_runs(store, experiment)}
    return [runs[run_id] for run_id in ids]


def bits(runs):
    return select(runs).table["expressivity"].tolist()


@pytest.mark.parametrize("weights", ["last", "tail"])
def test_e_is_from_the_measurement_on_the_most_prompts(store, experiment, weights):
    """The training's own, or that of a later evaluation, whose curve stays the curve's."""
    run, _ = log_pair(store, experiment, 2.5)
    run = with_tails(store, [run])[0] if weights == "tail" else run
    prefix = "held_out/tail_nmse" if weights == "tail" else "held_out/nmse"
    further = {prefix: 0.25, f"{prefix}_se": 0.01, "held_out/prompts": 4 * run.prompts}
    on_more = replace(run, metrics=run.metrics | further)
    assert on_more.final == (0.25, 0.01, 4 * run.prompts)
    assert bits([on_more]) == [pytest.approx(1.0)]
    assert on_more.loops == run.loops
    evaluated_again = replace(on_more, prompts=5 * run.prompts)
    at_b = run.config.b - 1
    assert evaluated_again.final[0] == run.final[0] == run.loops["nmse"][at_b]
    words = f"{4 * run.prompts:,} held-out prompts after b loops ({run.prompts:,} held-out"
    assert words in select([on_more]).account
    of_another_seed = replace(run, config=replace(run.config, seed=9))
    assert bits([on_more, of_another_seed]) == bits([run, of_another_seed])
    assert " after b loops" not in select([on_more, of_another_seed]).account


def test_where_all_runs_have_a_mean_it_is_taken(store, experiment):
    runs = log_pair(store, experiment, 2.5)
    assert bits(runs) == pytest.approx([2.0, 2.0])
    for choice, expected in (("auto", 2.5), ("tail", 2.5), ("last", 2.0)):
        assert bits(of_weights(store, choice, runs, runs)) == pytest.approx([expected] * 2)
    account = select(of_weights(store, "auto", runs, runs)).account
    assert account.endswith("; E of the mean of the last weights")
    account = select(of_weights(store, "last", runs, runs)).account
    assert account.endswith("last step's weights (weights=last; 2 of 2 hold their mean as well)")


def test_where_one_run_has_none_none_is_taken_and_that_is_said(store, experiment):
    runs = log_pair(store, experiment, None)
    assert bits(of_weights(store, "auto", runs, runs)) == pytest.approx([2.0, 2.0])
    assert "1 of 2 hold their mean as well" in weights_account(runs)
    with pytest.raises(SelectionError, match=r"got 1 of 2 without \(weights=last takes all\)"):
        of_weights(store, "tail", runs, runs)


def test_runs_that_are_not_compared_may_lack_a_mean(store, experiment):
    first, second = log_pair(store, experiment, None)
    assert bits(of_weights(store, "tail", [first], [first, second])) == pytest.approx([2.5])


def test_runs_of_older_versions_say_nothing_of_a_choice():
    runs = planted_report.runs()
    assert choose_weights("auto", runs) == "last"
    assert weights_account(runs) == "E of the last step's weights"


def test_a_law_of_other_weights_does_not_compare_with_the_champion():
    class Client:
        def get_model_version(self, name, number):
            return type("Version", (), {"tags": {"recipe": "r"}})

    new_version = type("Version", (), {"name": "law", "version": "2"})
    tags = {"recipe": "r", "weights": "tail"}
    leads, outcome = law_registry._judge(Client(), new_version, "1", None, tags)
    assert not leads and "version 1, whose E is of weights=last and does not compare" in outcome


def test_an_older_run_is_judged_by_its_logged_curve(store, experiment):
    """Its tag is of a rule that took two averages."""
    curves = {3: lambda step: 100 / step, 4: lambda step: 0.1}
    for seed, error in curves.items():
        run_id = log_training(
            store, experiment, replace(CONFIG, seed=seed), 2.0, unconverged="true"
        )
        store.delete_tag(run_id, "convergence")
        for step in range(100, 7501, 100):
            store.log_metric(run_id, "train/query_error", error(step), step=step)
    runs = sorted(read_runs(store, experiment), key=lambda run: run.config.seed)
    assert [run.convergence for run in runs] == ["learning", "settled"]
    assert [run.tags["unconverged"] for run in runs] == ["true", "false"]
    assert convergence_account(runs) == "1 learning, 1 settled"


def test_a_run_without_a_curve_cannot_tell(store, experiment):
    run_id = log_training(store, experiment, CONFIG, 2.0, unconverged="true")
    store.delete_tag(run_id, "convergence")
    (run,) = read_runs(store, experiment)
    assert run.convergence == "cannot tell"
