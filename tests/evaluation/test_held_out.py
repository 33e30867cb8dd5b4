import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from safetensors.numpy import save

from looped import LoopedTransformer, Size, make_task
from looped.evaluation.evaluation import Evaluation, by_prompt
from looped.evaluation.held_out import evaluate, evaluate_further
from looped.records.damage import DamagedFileError
from looped.records.prompt_errors import FILE, load_prompt_errors

SMALL = Size(n_layer=1, n_head=2, n_embd=8, n_mlp=16, learning_rate=1e-3)


@pytest.fixture(params=["joint", "interleaved"])
def model(request):
    torch.manual_seed(0)
    return LoopedTransformer(SMALL, n_dims=3, n_points=6, prompt=request.param)


@pytest.fixture
def task():
    return make_task("linear", n_dims=3)


def test_it_measures_what_the_forward_pass_predicts(model, task):
    evaluation = evaluate(model, task, n_loops=4, n_prompts=300)
    batches = [task.batch(0, step, 256, 6, held_out=True) for step in (0, 1)]
    xs, ys = (torch.cat(parts)[:300] for parts in zip(*batches, strict=True))
    with torch.no_grad():
        errors = (model(xs, ys, n_loops=4) - ys[:, -model.config.n_queries :]).square().numpy()
    np.testing.assert_allclose(evaluation.query_errors, errors[:, :, -1], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(evaluation.point_nmse, errors.mean(axis=1), rtol=1e-4)
    np.testing.assert_allclose(evaluation.nmse, errors[:, :, -1].mean(axis=1), rtol=1e-4)


def test_the_first_loops_do_not_depend_on_how_many_follow(model, task):
    few, many = (evaluate(model, task, n_loops=n, n_prompts=64) for n in (3, 7))
    assert np.array_equal(few.query_errors, many.query_errors[:3])
    assert np.array_equal(few.state_change, many.state_change[:2])


def test_the_first_prompts_do_not_depend_on_how_many_follow(model, task):
    few, many = (evaluate(model, task, n_loops=2, n_prompts=n) for n in (100, 300))
    np.testing.assert_allclose(few.query_errors, many.query_errors[:, :100], rtol=1e-4, atol=1e-6)


def test_state_change_is_the_relative_step_of_each_prompt(model, task):
    xs, ys = task.batch(0, 0, 256, 6, held_out=True)
    with torch.no_grad():
        p = model.embed(xs, ys)
        states = [torch.zeros_like(p)]
        for _ in range(3):
            states.append(model.loop(states[-1], p))
    expected = [
        np.mean([((b - a).norm() / a.norm()).item() for a, b in zip(before, after, strict=True)])
        for before, after in pairwise(states[1:])
    ]
    evaluation = evaluate(model, task, n_loops=3, n_prompts=256)
    np.testing.assert_allclose(evaluation.state_change, expected, rtol=1e-4)


def test_prediction_change_is_the_mean_step_of_the_prediction_at_the_query(model, task):
    xs, ys = task.batch(0, 0, 256, 6, held_out=True)
    with torch.no_grad():
        predictions = model(xs, ys, n_loops=4)[:, :, -1].numpy()
    expected = np.abs(np.diff(predictions, axis=0)).mean(axis=1)
    for kernels in ("auto", "off"):
        evaluation = evaluate(model, task, n_loops=4, n_prompts=256, kernels=kernels)
        np.testing.assert_allclose(evaluation.prediction_change, expected, rtol=1e-3, atol=1e-6)


def test_the_standard_error_shrinks_as_theory_says(model, task):
    few, many = (evaluate(model, task, n_loops=1, n_prompts=n) for n in (512, 8192))
    assert many.nmse_se[0] == pytest.approx(few.nmse_se[0] / 4, rel=0.3)
    assert abs(few.nmse[0] - many.nmse[0]) < 4 * few.nmse_se[0]


@pytest.mark.parametrize(("n_loops", "n_prompts"), [(0, 10), (1, 1)])
def test_it_refuses_what_cannot_be_measured(model, task, n_loops, n_prompts):
    with pytest.raises(ValueError, match="must be at least"):
        evaluate(model, task, n_loops, n_prompts)


def planted(nmse_by_loop, n_prompts=40):
    """An evaluation whose errors are those of a chi-square with the given means."""
    draws = np.random.default_rng(0).chisquare(1, n_prompts)
    draws /= draws.mean()
    errors = np.outer(nmse_by_loop, draws)
    return Evaluation(errors, np.array(nmse_by_loop)[:, None], np.ones(len(nmse_by_loop) - 1))


@pytest.mark.parametrize(
    ("nmse", "b", "expected"),
    [
        (
            [0.8, 0.4, 0.2, 0.3, 0.4, 0.5],
            3,
            {"best_loop": 3, "nmse_at_b": 0.2, "ratio_b_max_to_b": 2.5, "doubling_loop": 5},
        ),
        ([0.8, 0.4, 0.3, 0.2], 2, {"best_loop": 4, "nmse_at_b": 0.4, "ratio_b_max_to_b": 0.5}),
        ([0.8, 0.4], 5, {"best_loop": 2}),
    ],
)
def test_the_summary_says_how_a_model_extrapolates(nmse, b, expected):
    always = {"b_max": len(nmse), "nmse_at_1": nmse[0], "nmse_at_b_max": nmse[-1]}
    always["nmse_at_best"] = min(nmse)
    # the planted errors are proportional, so that no loop but the best is as good
    always |= {"band_first": expected["best_loop"], "band_last": expected["best_loop"]}
    always["band_loops"] = 1
    assert planted(nmse).summary(b) == pytest.approx(always | expected)


def test_a_record_is_json_and_holds_every_curve():
    evaluation = planted([0.5, 0.25, 0.125])
    record = json.loads(json.dumps(evaluation.record(2), allow_nan=False))
    loops = record["loops"]
    assert loops["nmse"] == pytest.approx([0.5, 0.25, 0.125])
    assert len(loops.pop("state_change")) == 2
    assert loops.pop("prediction_change") == []
    assert all(len(curve) == 3 for curve in loops.values())
    for low, middle, high in zip(
        loops["nmse_q05"], loops["nmse_median"], loops["nmse_q95"], strict=True
    ):
        assert low < middle < high
    np.testing.assert_allclose(
        loops["nmse_median"], np.median(evaluation.query_errors, axis=1), rtol=1e-6
    )
    assert record["examples"] == []
    assert record["n_prompts"] == 40


def test_only_a_prompt_of_many_queries_has_a_curve_over_examples(model, task):
    evaluation = evaluate(model, task, n_loops=3, n_prompts=10)
    curve = evaluation.by_examples(2)
    if model.config.prompt == "joint":
        assert curve == []
    else:
        assert curve == [float(value) for value in evaluation.point_nmse[1]]
        assert len(curve) == 6


def test_bits_are_half_the_log_of_the_nmse():
    np.testing.assert_allclose(planted([1.0, 0.25, 1 / 16]).bits, [0, 1, 2])


def test_further_prompts_follow_the_first_and_leave_the_curves_as_they_are(model, task):
    """One evaluation of all prompts is the plain twin of two, however a batch is cut."""
    first = evaluate(model, task, n_loops=4, n_prompts=300)
    both = evaluate_further(model, task, 2, first, n_prompts=700)
    whole = evaluate(model, task, n_loops=2, n_prompts=700)
    np.testing.assert_allclose(both.errors_at(2), whole.query_errors[1], rtol=1e-4, atol=1e-6)
    assert both.record(2) == first.record(2)
    assert evaluate_further(model, task, 2, first, n_prompts=300) is first


def test_the_errors_of_each_prompt_are_those_that_the_figures_are_means_of(model, task, tmp_path):
    first = evaluate(model, task, n_loops=4, n_prompts=40)
    evaluation = evaluate_further(model, task, 2, first, n_prompts=100)
    kept_errors = by_prompt(evaluation, first, task.config, n_examples=5, b=2)
    assert kept_errors.save(tmp_path) == 100
    loaded_errors = load_prompt_errors(tmp_path / FILE)
    assert (
        loaded_errors.prompts == task.config.prompts_identity(5) != task.config.prompts_identity(6)
    )
    assert sorted(loaded_errors.by_loop) == sorted(loaded_errors.tail_by_loop) == [2, 4]
    assert loaded_errors.by_loop[4].mean() == pytest.approx(evaluation.nmse[3])
    assert loaded_errors.by_loop[2].mean() == pytest.approx(evaluation.errors_at(2).mean())
    assert np.array_equal(loaded_errors.tail_by_loop[2], first.query_errors[1])
    assert len(loaded_errors.by_loop[2]) == 100


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{}", "must hold what was written"),
        (save({"loop_1": np.ones(3, np.float32)}), "__metadata__"),
        (save({"loop_x": np.ones(3, np.float32)}, {"prompts": ""}), "must be of a loop"),
        (save({"loop_1": np.ones((3, 2), np.float32)}, {"prompts": ""}), "a number for each"),
        (save({"loop_1": -np.ones(3, np.float32)}, {"prompts": ""}), "squared errors"),
        (save({"loop_1": np.full(3, np.nan, np.float32)}, {"prompts": ""}), "squared errors"),
        (save({"loop_1": np.ones(2**20, np.float32)}, {"prompts": ""}), "at most 4,194,304 bytes"),
    ],
)
def test_a_file_of_errors_that_is_none_of_ours_is_refused(tmp_path, content, reason):
    path = tmp_path / FILE
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match=reason):
        load_prompt_errors(path)
