import numpy as np
import pytest

from looped import make_task
from looped.evaluation import baseline_scores
from looped.evaluation.baselines import baselines_for
from looped.evaluation.held_out import held_out_batches
from looped.tasks.task_config import TaskConfig

LINEAR = TaskConfig("noisy_linear", 2, noise_std=0.5)


def test_scores_are_the_errors_on_the_prompts_that_models_see(tmp_path):
    scores = baseline_scores.score_baselines(LINEAR, 5, 3, 300, tmp_path)
    predictors = baselines_for(make_task("noisy_linear", 2, noise_std=0.5), 3)
    assert scores.keys() == predictors.keys()
    for name, predict in predictors.items():
        parts = held_out_batches(make_task("noisy_linear", 2, noise_std=0.5), 6, 300)
        errors = np.concatenate(
            [(predict(xs, ys) - ys[:, -1:])[..., 0].numpy() ** 2 for xs, ys in parts], axis=1
        )
        assert errors.shape == (3 if name == "gradient_descent" else 1, 300)
        assert scores[name]["nmse"] == pytest.approx(errors.mean(axis=1), rel=1e-4)
        assert scores[name]["nmse_se"] == pytest.approx(
            errors.std(axis=1, ddof=1) / np.sqrt(300), rel=1e-4
        )


def test_they_are_computed_once_for_each_problem(tmp_path, monkeypatch):
    first = baseline_scores.score_baselines(LINEAR, 5, 3, 64, tmp_path)
    with monkeypatch.context() as without:
        without.delattr(baseline_scores, "baselines_for")
        assert baseline_scores.score_baselines(LINEAR, 5, 3, 64, tmp_path) == first
    for problem in [(LINEAR, 6, 3, 64), (LINEAR, 5, 4, 64), (LINEAR, 5, 3, 65)]:
        assert baseline_scores.score_baselines(*problem, tmp_path) != first


def test_held_out_prompts_are_a_prefix_of_more(tmp_path):
    task = make_task("linear", 2)
    few = list(held_out_batches(task, 4, 300))
    many = list(held_out_batches(task, 4, 600))
    assert [len(xs) for xs, _ in few] == [256, 44]
    assert (few[1][0] == many[1][0][:44]).all()
    assert (few[1][1] == many[1][1][:44]).all()
