import math
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch
from reference import standard_errors_off

from looped import baselines
from looped.baselines import (
    BASELINES,
    BAYES,
    baselines_for,
    greedy_tree,
    greedy_tree_on_signs,
    nearest_neighbours,
    network,
)
from looped.linear_baselines import (
    averaging,
    best_step,
    gradient_descent,
    lasso,
    least_squares,
    ridge,
    ridge_penalty,
)
from looped.tasks import HELD_OUT_SEED, TASKS, make_task

CHANCE = 5.0
"""Standard errors that no honest draw is off by."""

OPTIONS = {
    "linear": {},
    "noisy_linear": {"noise_std": 0.5},
    "sparse_linear": {"sparsity": 2},
    "decision_tree": {"tree_depth": 2},
    "relu_network": {"n_hidden": 10},
}
N_LOOPS = 3


def task_of(name, n_dims=3, **options):
    return make_task(name, n_dims, **(options or OPTIONS[name]))


def prompts_of(task, batch, n_examples):
    return task.batch(HELD_OUT_SEED, 0, batch, n_examples + 1, held_out=True)


def errors_of(baseline, xs, ys):
    """Squared errors at the query of each prompt, after the last loop."""
    return (baseline(xs, ys)[-1, :, 0] - ys[:, -1]).square().double()


def clearly_less(errors, others):
    """Whether the mean over the same prompts is less by more than chance allows."""
    gains = others - errors
    return (gains.mean() / gains.std() * math.sqrt(len(gains))).item() > CHANCE


def fitted_weights(baseline, x, y, **settings):
    """The w of a linear baseline for one set of examples: its predictions at unit vectors."""
    n_dims = x.shape[1]
    xs = torch.cat([x.expand(n_dims, -1, -1), torch.eye(n_dims)[:, None]], dim=1)
    ys = torch.cat([y, torch.zeros(1)]).expand(n_dims, -1)
    return baseline(xs, ys, **settings)[0, :, 0]


EVERY = [
    pytest.param(task_name, name, id=f"{task_name}-{name}")
    for task_name in TASKS
    for name in baselines_for(task_of(task_name))
]


class TestEveryBaseline:
    """Promises that all of them keep."""

    @pytest.fixture
    def prompts(self, task_name):
        return prompts_of(task_of(task_name), batch=5, n_examples=7)

    @pytest.fixture
    def baseline(self, task_name, name):
        return baselines_for(task_of(task_name), N_LOOPS)[name]

    @pytest.mark.parametrize(("task_name", "name"), EVERY)
    @pytest.mark.parametrize("n_examples", [1, 7])
    def test_answers_in_the_models_shape(self, task_name, name, baseline, n_examples):
        xs, ys = prompts_of(task_of(task_name), 5, n_examples)
        answer = baseline(xs, ys)
        assert answer.shape == (N_LOOPS if name == "gradient_descent" else 1, 5, 1)
        assert answer.dtype == torch.float32
        assert answer.isfinite().all()
        assert not answer.requires_grad

    @pytest.mark.parametrize(("task_name", "name"), EVERY)
    def test_never_reads_the_querys_y(self, baseline, prompts):
        xs, ys = prompts
        unknown = ys.clone()
        unknown[:, -1] = math.nan
        assert torch.equal(baseline(xs, unknown), baseline(xs, ys))

    @pytest.mark.parametrize(("task_name", "name"), EVERY)
    def test_prompts_are_strangers(self, monkeypatch, baseline, prompts):
        xs, ys = prompts
        together = baseline(xs, ys)
        backwards = baseline(xs.flip(0), ys.flip(0)).flip(1)
        monkeypatch.setattr(baselines, "N_TOGETHER", 2)
        apart = torch.cat([baseline(xs[:2], ys[:2]), baseline(xs[2:], ys[2:])], dim=1)
        torch.testing.assert_close(backwards, together)
        torch.testing.assert_close(apart, together)
        torch.testing.assert_close(baseline(xs, ys), together)

    @pytest.mark.parametrize(("task_name", "name"), EVERY)
    def test_repeats_itself_and_leaves_no_trace(self, baseline, prompts):
        xs, ys = prompts
        kept_xs, kept_ys, random_state = xs.clone(), ys.clone(), torch.get_rng_state()
        first = baseline(xs, ys)
        with torch.inference_mode():
            assert torch.equal(baseline(xs.clone(), ys.clone()), first)
        assert torch.equal(xs, kept_xs) and torch.equal(ys, kept_ys)
        assert torch.equal(torch.get_rng_state(), random_state)

    def test_each_has_its_task(self):
        relevant = {name for task in TASKS for name in baselines_for(task_of(task))}
        assert relevant == set(BASELINES)

    @pytest.mark.parametrize("name", BAYES)
    @pytest.mark.parametrize("n_examples", [2, 6])
    def test_none_does_better_than_the_bayes_predictor(self, name, n_examples):
        task = task_of(name)
        xs, ys = prompts_of(task, 5000, n_examples)
        errors = {
            other: errors_of(baseline, xs, ys)
            for other, baseline in baselines_for(task, N_LOOPS).items()
        }
        least = errors.pop(BAYES[name])
        assert least.mean() > task.noise_variance
        for other in errors.values():
            assert not clearly_less(other, least)

    def test_scikit_learn_waits_until_it_is_needed(self):
        code = "import sys, looped.baselines; sys.exit('sklearn' in sys.modules)"
        subprocess.run([sys.executable, "-c", code], check=True)


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
        least, *others = (
            errors_of(partial(ridge, penalty=best * factor), xs, ys)
            for factor in (1.0, 0.0, 0.5, 0.7, 1.4, 2.0)
        )
        assert all(clearly_less(least, other) for other in others)


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
        least, *others = (
            errors_of(partial(gradient_descent, steps=[best * factor] * t), xs, ys)
            for factor in (1.0, 0.7, 1.3)
        )
        assert all(clearly_less(least, other) for other in others)


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
        found = fitted_weights(lasso, x, y, penalty=0.1)
        assert torch.equal(found.sign(), w.sign())

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


class TestNearestNeighbours:
    @pytest.mark.parametrize(("n_examples", "k"), [(9, 3), (9, 1), (3, 3), (2, 3)])
    def test_is_the_mean_of_the_nearest(self, n_examples, k):
        xs, ys = prompts_of(task_of("relu_network"), 20, n_examples)
        predicted = nearest_neighbours(xs, ys, k)[0, :, 0]
        for i, (prompt, values) in enumerate(zip(xs.tolist(), ys.tolist(), strict=True)):
            *x, query = prompt
            order = sorted(range(n_examples), key=lambda j: math.dist(x[j], query))[:k]
            truth = sum(values[j] for j in order) / len(order)
            assert predicted[i].item() == pytest.approx(truth, rel=1e-5, abs=1e-6)


class TestGreedyTree:
    def test_knows_every_example(self):
        xs, ys = prompts_of(task_of("decision_tree"), 20, 30)
        for i in (0, 13):
            xs[:, -1] = xs[:, i]
            torch.testing.assert_close(greedy_tree(xs, ys)[0, :, 0], ys[:, i])

    def test_one_question_is_learned_exactly_from_signs(self):
        xs, ys = prompts_of(task_of("decision_tree", tree_depth=1), 200, 40)
        torch.testing.assert_close(greedy_tree_on_signs(xs, ys)[0, :, 0], ys[:, -1])

    def test_signs_are_all_it_sees(self):
        xs, ys = prompts_of(task_of("decision_tree"), 50, 20)
        stretched = xs * torch.rand(xs.shape, generator=torch.Generator().manual_seed(0))
        assert torch.equal(greedy_tree_on_signs(stretched, ys), greedy_tree_on_signs(xs, ys))
        assert not torch.equal(greedy_tree(stretched, ys), greedy_tree(xs, ys))

    @pytest.mark.parametrize("tree", [greedy_tree, greedy_tree_on_signs])
    def test_examples_help(self, tree):
        task = task_of("decision_tree")
        xs, ys = prompts_of(task, 500, 64)
        some = [0, 1, 2, 3, -1]
        errors = errors_of(tree, xs, ys)
        assert clearly_less(errors, errors_of(tree, xs[:, some], ys[:, some]))
        assert clearly_less(errors, errors_of(nearest_neighbours, xs, ys))


class TestNetwork:
    def test_beats_the_others_on_networks(self):
        task = task_of("relu_network", n_hidden=100)
        xs, ys = prompts_of(task, 256, 63)
        errors = {name: errors_of(f, xs, ys) for name, f in baselines_for(task).items()}
        least = errors.pop("network")
        assert all(clearly_less(least, other) for other in errors.values())

    def test_equals_a_network_of_pytorch(self):
        xs, ys = prompts_of(task_of("relu_network"), 2, 7)
        start = network(xs[:1], ys[:1], n_hidden=4, steps=0)
        assert torch.equal(start, network(xs[:1], ys[1:], n_hidden=4, steps=0))
        trained = network(xs, ys, n_hidden=4, steps=9, learning_rate=0.1)
        for i in range(2):
            plain = torch.nn.Sequential(
                torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1)
            )
            generator = torch.Generator().manual_seed(0)
            with torch.no_grad():
                for layer in (plain[0], plain[2]):
                    bound = layer.in_features**-0.5
                    for weights in (layer.weight.T, layer.bias):
                        drawn = torch.rand(weights.shape, generator=generator)
                        weights.copy_((2 * drawn - 1) * bound)
            optimiser = torch.optim.Adam(plain.parameters(), lr=0.1)
            for _ in range(9):
                optimiser.zero_grad()
                loss = torch.nn.functional.mse_loss(plain(xs[i, :-1])[:, 0], ys[i, :-1])
                loss.backward()
                optimiser.step()
            torch.testing.assert_close(trained[0, i], plain(xs[i, -1]).detach())

    def test_has_as_many_hidden_units_as_the_task(self):
        task = task_of("relu_network", n_hidden=3)
        xs, ys = prompts_of(task, 4, 7)
        predicted = baselines_for(task)["network"](xs, ys)
        assert torch.equal(predicted, network(xs, ys, n_hidden=3))
        assert not torch.equal(predicted, network(xs, ys))
