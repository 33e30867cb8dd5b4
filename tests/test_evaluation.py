from itertools import pairwise

import numpy as np
import pytest
import torch

from looped import LoopedTransformer, Size, make_task
from looped.evaluation import evaluate

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


def test_the_standard_error_shrinks_as_theory_says(model, task):
    few, many = (evaluate(model, task, n_loops=1, n_prompts=n) for n in (512, 8192))
    assert many.nmse_se[0] == pytest.approx(few.nmse_se[0] / 4, rel=0.3)
    assert abs(few.nmse[0] - many.nmse[0]) < 4 * few.nmse_se[0]


@pytest.mark.parametrize(("n_loops", "n_prompts"), [(0, 10), (1, 1)])
def test_it_refuses_what_cannot_be_measured(model, task, n_loops, n_prompts):
    with pytest.raises(ValueError, match="must be at least"):
        evaluate(model, task, n_loops, n_prompts)
