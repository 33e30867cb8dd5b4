import math
import subprocess
import sys

import pytest
import torch
from baseline_prompts import N_LOOPS, clearly_less, errors_of, prompts_of, task_of

from looped.evaluation import baselines
from looped.evaluation.baselines import (
    BASELINES,
    baselines_for,
    greedy_tree,
    greedy_tree_on_signs,
    nearest_neighbours,
    network,
)
from looped.tasks import TASKS
from looped.tasks.kinds import TASK_KINDS

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
        assert answer.shape == (N_LOOPS if name in ("gradient_descent", "hop_by_hop") else 1, 5, 1)
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

    @pytest.mark.parametrize("name", [name for name, kind in TASK_KINDS.items() if kind.bayes])
    @pytest.mark.parametrize("n_examples", [2, 6])
    def test_none_does_better_than_the_bayes_predictor(self, name, n_examples):
        task = task_of(name)
        xs, ys = prompts_of(task, 5000, n_examples)
        errors = {
            rival: errors_of(baseline, xs, ys)
            for rival, baseline in baselines_for(task, N_LOOPS).items()
        }
        least = errors.pop(TASK_KINDS[name].bayes)
        is_exact = name == "pointer_chain"  # whatever the number of examples
        assert least.mean() > task.noise_variance or is_exact
        for rival_errors in errors.values():
            assert not clearly_less(rival_errors, least)

    def test_scikit_learn_waits_until_it_is_needed(self):
        code = "import sys, looped.evaluation.baselines; sys.exit('sklearn' in sys.modules)"
        subprocess.run([sys.executable, "-c", code], check=True)


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
        stretched_xs = xs * torch.rand(xs.shape, generator=torch.Generator().manual_seed(0))
        assert torch.equal(greedy_tree_on_signs(stretched_xs, ys), greedy_tree_on_signs(xs, ys))
        assert not torch.equal(greedy_tree(stretched_xs, ys), greedy_tree(xs, ys))

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
        assert all(clearly_less(least, rival) for rival in errors.values())

    def test_equals_a_network_of_pytorch(self):
        xs, ys = prompts_of(task_of("relu_network"), 2, 7)
        start = network(xs[:1], ys[:1], n_hidden=4, steps=0)
        assert torch.equal(start, network(xs[:1], ys[1:], n_hidden=4, steps=0))
        predicted = network(xs, ys, n_hidden=4, steps=9, learning_rate=0.1)
        for i in range(2):
            plain = torch.nn.Sequential(
                torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1)
            )
            generator = torch.Generator().manual_seed(0)
            with torch.no_grad():
                for layer in (plain[0], plain[2]):
                    bound = layer.in_features**-0.5
                    for weights in (layer.weight.T, layer.bias):
                        uniform = torch.rand(weights.shape, generator=generator)
                        weights.copy_((2 * uniform - 1) * bound)
            optimiser = torch.optim.Adam(plain.parameters(), lr=0.1)
            for _ in range(9):
                optimiser.zero_grad()
                loss = torch.nn.functional.mse_loss(plain(xs[i, :-1])[:, 0], ys[i, :-1])
                loss.backward()
                optimiser.step()
            torch.testing.assert_close(predicted[0, i], plain(xs[i, -1]).detach())

    def test_has_as_many_hidden_units_as_the_task(self):
        task = task_of("relu_network", n_hidden=3)
        xs, ys = prompts_of(task, 4, 7)
        predicted = baselines_for(task)["network"](xs, ys)
        assert torch.equal(predicted, network(xs, ys, n_hidden=3))
        assert not torch.equal(predicted, network(xs, ys))
