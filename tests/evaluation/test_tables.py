import math
import re
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch

from looped import LoopedTransformer, Size
from looped.config import TrainConfig
from looped.evaluation import tables
from looped.evaluation.linear_baselines import TUNING_SEED, least_squares, ridge
from looped.evaluation.tables import (
    RIDGE_PENALTIES,
    TABLES,
    QueryErrors,
    best_penalty,
    check_fits,
    draw,
    evaluate_table,
    table_prompts,
)

SMALL = Size(n_layer=1, n_head=2, n_embd=8, n_mlp=16, learning_rate=1e-3)
CHANCE = 5.0  # standard errors that no honest draw is off by


def small_model(prompt="joint", n_dims=3, n_points=12):
    torch.manual_seed(0)
    return LoopedTransformer(SMALL, n_dims, n_points, prompt)


def rows_and_features(name, n_dims, n_points, n_prompts, seed=0):
    """The rows and features of prompts that fit in one batch."""
    generator = np.random.Generator(np.random.Philox(key=seed))
    rows, features = draw(generator, n_prompts, *TABLES[name]()[0].shape)
    return rows[:, :n_points], features[:, :n_dims]


@pytest.fixture
def toy(monkeypatch):
    """A table of 20 rows and 4 features that a test may change."""
    generator = np.random.default_rng(0)
    table = generator.standard_normal((20, 4)), generator.standard_normal(20)
    monkeypatch.setitem(TABLES, "toy", lambda: table)
    return table


@pytest.mark.parametrize("name", TABLES)
class TestEveryTable:
    def test_is_what_its_docstring_says(self, name):
        features, target = TABLES[name]()
        stated = re.match(r"(\d+) \w+ x (\d+) features", TABLES[name].__doc__).groups()
        assert features.shape == tuple(map(int, stated))
        assert target.shape == features.shape[:1]

    def test_is_fit_for_regression(self, name):
        columns = np.column_stack(TABLES[name]())
        assert np.isfinite(columns).all()
        assert (columns.std(axis=0) > 0).all()
        assert len(np.unique(columns[:, -1])) > 20
        with_target = np.abs(np.corrcoef(columns.T)[-1, :-1])
        assert 0.3 < with_target.max() < 0.98  # no feature is the target by another name

    def test_least_squares_is_that_of_the_raw_rows(self, name):
        n_dims, n_examples = 3, 30
        xs, ys = table_prompts(name, n_dims, n_examples + 1, 50)
        predicted = least_squares(xs, ys)[0, :, 0].tolist()
        features, target = TABLES[name]()
        rows, features_of = rows_and_features(name, n_dims, n_examples + 1, 50)
        for i in range(50):
            x, y = features[rows[i]][:, features_of[i]], target[rows[i]]
            if np.ptp(x[:-1], axis=0).min() == 0:  # no unique solution
                continue
            design = np.column_stack([np.ones(n_examples + 1), x])
            w = np.linalg.lstsq(design[:-1], y[:-1], rcond=None)[0]
            truth = (design[-1] @ w - y[:-1].mean()) / y[:-1].std()
            # xs are rounded to float32; a bad x's condition number multiplies that.
            condition = torch.linalg.cond(xs[i, :-1]) * xs[i, -1].norm()
            assert predicted[i] == pytest.approx(truth, abs=2e-6 * max(1, condition.item()))


class TestPrompts:
    def test_examples_have_mean_0_and_variance_1(self):
        xs, ys = table_prompts("wine", 5, 31, 300)
        assert xs.shape == (300, 31, 5) and ys.shape == (300, 31)
        for examples in (xs[:, :-1].double(), ys[:, :-1].double()):
            assert examples.mean(dim=1).abs().max() < 1e-6
            assert (examples.square().mean(dim=1) - 1).abs().max() < 1e-6

    def test_only_the_querys_own_y_knows_the_querys_y(self, toy):
        target = toy[1]
        before_xs, before_ys = table_prompts("toy", 2, 6, 200)
        rows, _ = rows_and_features("toy", 2, 6, 200)
        target[7] += 100
        xs, ys = table_prompts("toy", 2, 6, 200)
        is_query, is_example = rows[:, -1] == 7, (rows[:, :-1] == 7).any(axis=1)
        assert is_query.any() and is_example.any() and not (is_query & is_example).any()
        assert torch.equal(xs, before_xs)
        assert torch.equal(ys[~is_example, :-1], before_ys[~is_example, :-1])
        is_neither = ~is_example & ~is_query
        assert torch.equal(ys[is_neither], before_ys[is_neither])
        assert (ys[is_query, -1] > before_ys[is_query, -1] + 1).all()

    def test_examples_do_not_know_the_querys_x(self, toy):
        features, _ = toy
        before_xs, before_ys = table_prompts("toy", 2, 6, 200)
        is_query = rows_and_features("toy", 2, 6, 200)[0][:, -1] == 7
        features[7] *= -3
        xs, ys = table_prompts("toy", 2, 6, 200)
        assert torch.equal(xs[is_query, :-1], before_xs[is_query, :-1])
        assert torch.equal(ys, before_ys)
        assert not torch.equal(xs[is_query, -1], before_xs[is_query, -1])

    def test_units_do_not_matter(self, toy):
        features, target = toy
        before = table_prompts("toy", 2, 6, 50)
        features[:] = features * [1000, 0.01, 3, 7] + [-40, 0, 1e4, 9]
        target[:] = 0.2 * target + 70
        torch.testing.assert_close(table_prompts("toy", 2, 6, 50), before, rtol=1e-4, atol=1e-5)

    def test_a_column_constant_over_the_examples_has_the_unit_of_the_table(self, toy):
        for column in (toy[0][:, 0], toy[1]):
            column[:] = 0.1  # whose mean over a few is not always 0.1
            column[7] = 5.1
        xs, ys = table_prompts("toy", 1, 8, 256)
        rows, features = rows_and_features("toy", 1, 8, 256)
        constant = ~(rows[:, :-1] == 7).any(axis=1)
        deviation = 5 / toy[1].std() * (rows[:, -1] == 7)
        for values, which in ((ys, constant), (xs[:, :, 0], constant & (features[:, 0] == 0))):
            assert deviation[which].any()
            assert (values[which, :-1] == 0).all()
            np.testing.assert_allclose(values[which, -1], deviation[which], rtol=1e-6)
        assert xs.isfinite().all() and ys.isfinite().all()

    def test_the_first_do_not_depend_on_how_many_follow(self):
        few, many = (table_prompts("diabetes", 4, 9, n) for n in (100, 300))
        assert all(torch.equal(a, b[:100]) for a, b in zip(few, many, strict=True))

    def test_a_seed_draws_the_same_and_leaves_no_trace(self):
        states = torch.get_rng_state(), np.random.get_state()[1].copy()
        first, again, with_4 = (table_prompts("iris", 2, 9, 20, seed) for seed in (3, 3, 4))
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
        assert not torch.equal(first[0], with_4[0])
        assert torch.equal(torch.get_rng_state(), states[0])
        assert np.array_equal(np.random.get_state()[1], states[1])

    def test_every_prompt_draws_its_own_with_equal_chances(self):
        rows, features = draw(np.random.default_rng(0), 10_000, 6, 4)
        assert len(np.unique(rows, axis=0)) == math.factorial(6)
        for order in (rows, features):
            n_all = order.shape[1]
            assert np.array_equal(np.sort(order, axis=1), np.tile(np.arange(n_all), (10_000, 1)))
            for place in order.T:
                shares = np.bincount(place, minlength=n_all) / 10_000
                se = math.sqrt((1 - 1 / n_all) / n_all / 10_000)
                assert np.abs(shares - 1 / n_all).max() < CHANCE * se

    def test_all_rows_and_features_can_be_drawn(self):
        xs, ys = table_prompts("iris", 3, 150, 2)
        assert xs.shape == (2, 150, 3)
        assert xs.isfinite().all() and ys.isfinite().all()


class TestErrors:
    def test_the_mean_of_the_examples_is_worth_1(self):
        of_mean = np.random.default_rng(0).exponential(size=100)
        errors = QueryErrors(np.stack([of_mean, of_mean / 4]), of_mean)
        np.testing.assert_allclose([errors.nmse, errors.median], [[1, 0.25]] * 2)
        np.testing.assert_allclose(errors.nmse_se, 0, atol=1e-12)

    def test_the_standard_error_is_how_far_repetitions_spread(self):
        generator = np.random.default_rng(0)
        nmse, stated = [], []
        for _ in range(1000):
            y, noise = generator.standard_normal((2, 400))
            errors = QueryErrors((0.5 * y + noise)[None] ** 2, y**2)
            nmse.append(errors.nmse[0])
            stated.append(errors.nmse_se[0])
        assert np.mean(stated) == pytest.approx(np.std(nmse), rel=0.1)


class LeastSquaresModel(LoopedTransformer):
    """Predicts by least squares after every loop, and notes how it was asked."""

    def forward(self, xs, ys, n_loops, grad_loops=None):
        self.largest = max(len(xs), getattr(self, "largest", 0))
        assert not torch.is_grad_enabled()
        return least_squares(xs, ys).expand(n_loops, -1, -1)


class TestEvaluation:
    @pytest.mark.parametrize("prompt", ["joint", "interleaved"])
    def test_measures_what_the_forward_pass_predicts(self, prompt):
        model = small_model(prompt)
        xs, ys = table_prompts("wine", 3, 12, 300)
        with torch.no_grad():
            expected = (model(xs, ys, n_loops=4)[:, :, -1] - ys[:, -1]).square()
        few, many = (evaluate_table(model, "wine", n, 300) for n in (2, 4))
        np.testing.assert_allclose(many.model.squares, expected, rtol=1e-4, atol=1e-6)
        assert np.array_equal(few.model.squares, many.model.squares[:2])
        np.testing.assert_allclose(many.model.of_mean, ys[:, -1].square(), rtol=1e-6)

    def test_a_model_that_does_least_squares_has_its_errors(self):
        model = LeastSquaresModel(SMALL, 3, 12)
        evaluation = evaluate_table(model, "diabetes", 2, 600)
        expected = evaluation.baselines["least_squares"].squares
        assert np.array_equal(evaluation.model.squares, np.repeat(expected, 2, axis=0))
        assert model.largest == 256

    @pytest.mark.parametrize("name", TABLES)
    def test_baselines_compare_as_they_should(self, name):
        evaluation = evaluate_table(small_model(n_points=20), name, 1, 1000)
        names = ("mean", "least_squares", "ridge")
        mean, least, best = (evaluation.baselines[name] for name in names)
        assert mean.nmse == mean.median == 1 and mean.nmse_se == 0
        # The paired comparison on the same prompts; the penalty was chosen on others.
        against = QueryErrors(best.squares, least.squares[0])
        assert against.nmse[0] < 1 + CHANCE * against.nmse_se[0] and against.nmse[0] < 1.02
        assert best.nmse[0] + CHANCE * best.nmse_se[0] < 1  # each target can be predicted
        assert evaluation.penalty in RIDGE_PENALTIES

    def test_no_other_penalty_does_better_on_the_tuning_prompts(self):
        xs, ys = table_prompts("iris", 2, 8, 2560, TUNING_SEED)

        def error(penalty):
            predicted = partial(ridge, penalty=penalty)(xs, ys)[0, :, 0]
            return (predicted - ys[:, -1]).double().square().mean().item()

        best = best_penalty("iris", 2, 8)
        assert min(RIDGE_PENALTIES) < best < max(RIDGE_PENALTIES)
        assert all(error(best) <= error(penalty) for penalty in RIDGE_PENALTIES)

    def test_the_penalty_never_sees_the_prompts_that_are_measured(self, monkeypatch):
        prompts = []

        def noting(*arguments):
            prompts.append(table_prompts(*arguments))
            return prompts[-1]

        monkeypatch.setattr(tables, "table_prompts", noting)
        evaluate_table(small_model(), "iris", 1, 2560)
        (evaluation_xs, _), (tuning_xs, _) = prompts
        assert not (evaluation_xs[:, None, 0] == tuning_xs[None, :, 0]).all(dim=2).any()

    def test_scikit_learn_waits_until_it_is_needed(self):
        code = "import sys, looped.evaluation.tables; sys.exit('sklearn' in sys.modules)"
        subprocess.run([sys.executable, "-c", code], check=True)


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("housing", 5, 64, 1), "table must be one of diabetes, .*, iris, got housing$"),
            (("iris", 5, 64, 1), r"n_dims must lie in \[1, 3\], .* of table iris, got 5$"),
            (("iris", 0, 64, 1), r"n_dims must lie in \[1, 3\], .* of table iris, got 0$"),
            (("wine", 5, 179, 1), "must be 2 to 178 points, the rows of table wine, got 179$"),
            (("wine", 5, 1, 1), "must be 2 to 178 points, the rows of table wine, got 1$"),
            (("wine", 5, 64, 0), "n_prompts must be at least 1, got 0$"),
            (("wine", 5, 64, 1, -1), "seed must be at least 0, got -1$"),
        ],
    )
    def test_of_prompts(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            table_prompts(*arguments)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("decision_tree", 5, 63, "wine"), "must be one of linear, .*, got decision_tree$"),
            (("relu_network", 5, 63, "wine"), "must be one of linear, .*, got relu_network$"),
            (("linear", 5, 63, "iris"), "n_dims must lie in .*, got 5$"),
            (("linear", 5, 178, "wine"), "must be 2 to 178 points, .*, got 179$"),
            (("linear", 5, 63, "housing"), "table must be one of .*, got housing$"),
        ],
    )
    def test_of_models(self, arguments, message):
        task = TrainConfig(task=arguments[0]).task_config
        with pytest.raises(ValueError, match=message):
            check_fits(task, *arguments[1:])

    @pytest.mark.parametrize("task", ["linear", "noisy_linear", "sparse_linear"])
    def test_not_of_models_that_fit(self, task):
        check_fits(TrainConfig(task=task).task_config, 5, 63, "diabetes")

    @pytest.mark.parametrize(
        ("name", "n_loops", "n_prompts", "message"),
        [
            ("wine", 0, 10, "n_loops must be at least 1, got 0$"),
            ("wine", 1, 1, "n_prompts must be at least 2, got 1$"),
            ("housing", 1, 10, "table must be one of .*, got housing$"),
            ("iris", 1, 10, "n_dims must lie in .*, got 5$"),
        ],
    )
    def test_of_evaluations(self, name, n_loops, n_prompts, message):
        with pytest.raises(ValueError, match=message):
            evaluate_table(small_model(n_dims=5), name, n_loops, n_prompts)
