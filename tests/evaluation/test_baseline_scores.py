import json
from concurrent.futures import ThreadPoolExecutor

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


def scored(folder):
    return baseline_scores.score_baselines(LINEAR, 5, 3, 64, folder)


def kept_file(folder):
    (path,) = folder.glob("baselines-*.json")
    return path


def test_other_numbers_than_those_computed_are_not_taken(tmp_path, caplog):
    first = scored(tmp_path)
    path = kept_file(tmp_path)
    content = json.loads(path.read_bytes())
    content["scores"]["averaging"]["nmse"] = [0.123]
    path.write_text(json.dumps(content))
    assert scored(tmp_path) == first
    assert f"{path} is damaged" in caplog.text


@pytest.mark.parametrize(
    "difference", [{"code": "0" * 12}, {"seeds": [1, 2]}, {"n_prompts": 63}, {"task": {}}]
)
def test_scores_of_another_code_or_problem_are_not_taken(tmp_path, difference):
    first = scored(tmp_path)
    path = kept_file(tmp_path)
    content = json.loads(path.read_bytes())
    strange_scores = {name: {"nmse": [9.0], "nmse_se": [9.0]} for name in first}
    foreign_content = {
        "computed_for": content["computed_for"] | difference,
        "scores": strange_scores,
    }
    digest = baseline_scores._digest(foreign_content)
    path.write_text(json.dumps(foreign_content | {"digest": digest}))
    assert scored(tmp_path) == first
    assert json.loads(path.read_bytes()) == content  # what was foreign is replaced


def test_what_an_older_version_kept_is_computed_anew(tmp_path, caplog):
    first = scored(tmp_path)
    strange_scores = {name: {"nmse": [9.0], "nmse_se": [9.0]} for name in first}
    kept_file(tmp_path).write_text(json.dumps(strange_scores))
    assert scored(tmp_path) == first
    assert not caplog.text


def test_other_code_is_another_digest(tmp_path, monkeypatch):
    before = baseline_scores._code_digest.__wrapped__()
    changed = tmp_path / "changed.py"
    changed.write_text("# another")
    monkeypatch.setattr(baseline_scores.baselines, "__file__", str(changed))
    assert baseline_scores._code_digest.__wrapped__() != before


def test_several_at_once_agree_and_leave_one_whole_file(tmp_path):
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: scored(tmp_path), range(4)))
    assert all(result == results[0] for result in results)
    content = json.loads(kept_file(tmp_path).read_bytes())
    assert content["scores"] == results[0]
    assert [path.name for path in tmp_path.iterdir()] == [kept_file(tmp_path).name]


def test_held_out_prompts_are_a_prefix_of_more(tmp_path):
    task = make_task("linear", 2)
    few = list(held_out_batches(task, 4, 300))
    many = list(held_out_batches(task, 4, 600))
    assert [len(xs) for xs, _ in few] == [256, 44]
    assert (few[1][0] == many[1][0][:44]).all()
    assert (few[1][1] == many[1][1][:44]).all()
