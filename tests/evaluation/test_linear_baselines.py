from functools import partial

import numpy as np
import pytest
import torch
from baseline_prompts import CHANCE, clearly_less, errors_of, prompts_of, task_of
from reference import standard_errors_off

from looped.evaluation.baselines import baselines_for
from looped.evaluation.linear_baselines import (
    averaging,
    best_step,
    gradient_descent,
    lasso,
    least_squares,
    ridge,
    ridge_penalty,
)


def fitted_weights(baseline, x, y, **settings):
    """The w of a linear baseline for one set of examples: its predictions at unit vectors."""
    n_dims = x.shape[1]
    xs = torch.cat([x.expand(n_dims, -1, -1), torch.eye(n_dims)[:, None]], dim=1)
    ys = torch.cat([y, torch.zeros(1)]).expand(n_dims, -1)
    return baseline(xs, ys, **settings)[0, :, 0]


class TestLeastSquares:
    @pytest.mark.parametrize("n_examples", [3, 4, 30])
    def test_knows_a_noiseless_w_from_d_examples(self, n_examples):
        xs, ys = prompts_of(task_of("linear"), 100, n_examples)
        # ys are rounded to float32; a bad x's condition number multiplies that.
        condition = torch.linalg.cond(xs[:, :-1]) * xs[:, -1].norm(dim=1)
        off = (least_squares(xs, ys)[0, :, 0] - ys[:, -1]).abs()
        assert (off <= 1e-6 * condition.clamp(min=1)).all()

    @pytest.mark.parametrize("points", [[0], [0, 1], [0, 0, 1], [0, 1, 0, 1, 1]], ids=str)
    def test_takes_the_smallest_of_several_solutions(self, points):
        draws = torch.Generator().manual_seed(1)
        x = torch.randn(2, 4, generator=draws)[points]
        y = torch.randn(2, generator=draws)[points]
        w = fitted_weights(least_squares, x, y)
        torch.testing.assert_close(x @ w, y)
        beyond = torch.from_numpy(np.linalg.svd(x.numpy())[2][len(set(points)) :])
        torch.testing.assert_close(beyond @ w, torch.zeros(len(beyond)))

    def test_knows_as_much_of_w_as_there_are_examples(self):
        for n_examples in (1, 2):
            xs, ys = prompts_of(task_of("linear"), 20_000, n_examples)
            errors = errors_of(least_squares, xs, ys)
            assert standard_errors_off(errors, 1 - n_examples / 3) < CHANCE

    def test_error_falls_with_n_as_theory_says(self):
        task = task_of("noisy_linear")
        for n_examples in (12, 24, 48):
            xs, ys = prompts_of(task, 20_000, n_examples)
            theory = task.noise_variance * (1 + 3 / (n_examples - 3 - 1))
            assert standard_errors_off(errors_of(least_squares, xs, ys), theory) < CHANCE


class TestRidge:
    @staticmethod
    def posterior_mean(x, y, prior_variance, noise_variance):
        """Bayes' rule, one example after the other."""
        mean, covariance = np.zeros(x.shape[1]), prior_variance * np.eye(x.shape[1])
        for point, value in zip(x, y, strict=True):
            gain = covariance @ point / (point @ covariance @ point + noise_variance)
            mean = mean + gain * (value - point @ mean)
            covariance = covariance - np.outer(gain, point @ covariance)
        return mean

    @pytest.mark.parametrize("n_examples", [1, 3, 20])
    @pytest.mark.parametrize("noise_std", [0.1, 0.5, 2.0])
    def test_is_the_posterior_mean(self, n_examples, noise_std):
        task = task_of("noisy_linear", noise_std=noise_std)
        xs, ys = prompts_of(task, 10, n_examples)
        predicted = baselines_for(task)["ridge"](xs, ys)[0, :, 0]
        for i, (x, y) in enumerate(zip(xs.double().numpy(), ys.double().numpy(), strict=True)):
            # What the task says: y = (w.x / sqrt(3) + s e) / sqrt(1 + s^2).
            scale = 1 / (1 + noise_std**2)
            mean = self.posterior_mean(x[:-1], y[:-1], scale / 3, scale * noise_std**2)
            assert predicted[i].item() == pytest.approx(x[-1] @ mean, rel=1e-5, abs=1e-6)

    def test_no_other_penalty_does_better(self):
        task = task_of("noisy_linear", noise_std=1.0)
        best = ridge_penalty(task.config)
        xs, ys = prompts_of(task, 40_000, 5)
        least, *rivals = (
            errors_of(partial(ridge, penalty=best * factor), xs, ys)
            for factor in (1.0, 0.0, 0.5, 0.7, 1.4, 2.0)
        )
        assert all(clearly_less(least, rival) for rival in rivals)


class TestAveraging:
    def test_is_unbiased_with_the_error_that_theory_says(self):
        n_examples, n_dims = 8, 3
        xs, ys = prompts_of(task_of("linear", n_dims), 20_000, n_examples)
        predicted = averaging(xs, ys)[0, :, 0]
        # Where it is unbiased, its error does not correlate with the y to predict.
        assert standard_errors_off((predicted - ys[:, -1]) * ys[:, -1], 0.0) < CHANCE
        theory = (n_dims + 1) / n_examples
        assert standard_errors_off(errors_of(averaging, xs, ys), theory) < CHANCE

    def test_is_one_step_of_gradient_descent(self):
        xs, ys = prompts_of(task_of("linear"), 10, 8)
        torch.testing.assert_close(averaging(xs, ys), gradient_descent(xs, ys, [1.0]))


class TestGradientDescent:
    @pytest.mark.parametrize("n_examples", [2, 8])
    def test_equals_taking_the_steps(self, n_examples):
        xs, ys = prompts_of(task_of("noisy_linear"), 4, n_examples)
        steps = [0.9, 0.1, 0.5, 0.3]
        predicted = gradient_descent(xs, ys, steps)
        for i in range(4):
            x, y = xs[i, :-1].double(), ys[i, :-1].double()
            for t, step in enumerate(steps, start=1):
                w = torch.zeros(3, dtype=torch.float64, requires_grad=True)
                for _ in range(t):
                    loss = (x @ w - y).square().mean() / 2
                    (slope,) = torch.autograd.grad(loss, w)
                    w = (w - step * slope).detach().requires_grad_()
                truth = (w @ xs[i, -1].double()).item()
                assert predicted[t - 1, i].item() == pytest.approx(truth, rel=1e-5, abs=1e-6)

    @pytest.mark.parametrize("n_examples", [2, 12])
    def test_ends_at_least_squares(self, n_examples):
        xs, ys = prompts_of(task_of("noisy_linear"), 20, n_examples)
        last = gradient_descent(xs, ys, [0.2] * 2000)[-1:]
        torch.testing.assert_close(last, least_squares(xs, ys), rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize("name", ["linear", "noisy_linear"])
    def test_a_longer_descent_is_no_worse(self, name):
        task = task_of(name)
        xs, ys = prompts_of(task, 12_800, 20)
        ready = baselines_for(task, n_loops=12)
        best = errors_of(ready["least_squares"], xs, ys)
        means = (ready["gradient_descent"](xs, ys)[:, :, 0] - ys[:, -1]).square().mean(dim=1)
        assert (means[1:] <= means[:-1] * (1 + 1e-3)).all()
        # From all of the variance to within a thousandth of it of least squares.
        assert means[0] > best.mean() + 0.1
        assert means[-1] < best.mean() + 1e-3

    def test_first_step_is_the_one_that_theory_says(self):
        # E tr S / E tr S^2 of S = X'X / N, here 15 / (15 + 2 + 1).
        step = best_step(task_of("linear", 2).config, 15, 1)
        assert step == pytest.approx(15 / 18, rel=0.05)

    @pytest.mark.parametrize("t", [1, 2])
    def test_no_other_step_does_better(self, t):
        task = task_of("noisy_linear")
        best = best_step(task.config, 20, t)
        xs, ys = prompts_of(task, 20_000, 20)
        least, *rivals = (
            errors_of(partial(gradient_descent, steps=[best * factor] * t), xs, ys)
            for factor in (1.0, 0.7, 1.3)
        )
        assert all(clearly_less(least, rival) for rival in rivals)


class TestLasso:
    @pytest.fixture
    def planted(self):
        draws = torch.Generator().manual_seed(0)
        w = torch.zeros(20)
        w[[3, 7, 11]] = torch.tensor([1.0, -1.0, 0.5])
        x = torch.randn(40, 20, generator=draws)
        return x, x @ w, w

    def test_finds_the_support(self, planted):
        x, y, w = planted
        weights = fitted_weights(lasso, x, y, penalty=0.1)
        assert torch.equal(weights.sign(), w.sign())

    @pytest.mark.parametrize("n_examples", [12, 40])
    @pytest.mark.parametrize("penalty", [1e-4, 0.01, 1.0])
    def test_is_a_minimum(self, planted, n_examples, penalty):
        x, y, _ = planted
        x, y = x[:n_examples], y[:n_examples]
        w = fitted_weights(lasso, x, y, penalty=penalty)
        slope = x.T @ (x @ w - y) / n_examples
        assert (slope.abs() <= penalty * 1.01).all()
        torch.testing.assert_close(slope[w != 0], -penalty * w[w != 0].sign(), rtol=0.01, atol=0.0)

    def test_beats_least_squares_where_examples_are_few(self):
        task = task_of("sparse_linear", 10, sparsity=1)
        xs, ys = prompts_of(task, 500, 7)
        ready = baselines_for(task)
        errors = errors_of(ready["lasso"], xs, ys)
        assert clearly_less(errors, errors_of(ready["least_squares"], xs, ys))
        assert clearly_less(errors, errors_of(partial(lasso, penalty=1.0), xs, ys))
