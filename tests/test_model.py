import doctest
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from reference import looped_predictions, standard_errors_off
from strategies import loops_and_windows, model_configs, prompted_models, seeds

from looped import model
from looped.config import TrainConfig
from looped.model import LoopedTransformer
from looped.sizes import PROMPTS, SIZES, ModelConfig
from looped.training import loop

TINY = ModelConfig(SIZES["tiny"], n_dims=3, n_points=5)
loops = st.integers(1, 5)


def seeded(config, seed=0, init="lecun"):
    torch.manual_seed(seed)
    return LoopedTransformer.from_config(config, init)


def gradients(model, predictions):
    torch.manual_seed(0)
    weighted = (predictions * torch.randn_like(predictions)).sum()
    return torch.autograd.grad(weighted, list(model.parameters()))


@given(prompted_models())
def test_one_loop_is_the_plain_transformer(prompted):
    model, xs, ys = prompted
    (expected,) = looped_predictions(model, xs, ys, 1, 1)
    torch.testing.assert_close(model(xs, ys, 1)[0], expected)


@given(prompted_models(), loops)
def test_many_loops_are_the_plain_loop(prompted, n_loops):
    model, xs, ys = prompted
    expected = torch.stack(looped_predictions(model, xs, ys, n_loops, n_loops))
    torch.testing.assert_close(model(xs, ys, n_loops), expected)


@given(prompted_models(), loops_and_windows())
def test_gradients_are_those_of_the_loop_detached_before_its_window(prompted, loops):
    model, xs, ys = prompted
    expected = torch.stack(looped_predictions(model, xs, ys, *loops))
    predictions = model(xs, ys, *loops)
    torch.testing.assert_close(predictions, expected)
    for gradient, expected_gradient in zip(
        gradients(model, predictions), gradients(model, expected), strict=True
    ):
        torch.testing.assert_close(gradient, expected_gradient, rtol=1e-6, atol=1e-9)


@given(prompted_models(), loops_and_windows())
def test_loops_before_the_window_build_no_graph(prompted, loops):
    model, xs, ys = prompted
    graphs = []
    model.final_norm.register_forward_hook(lambda *call: graphs.append(call[-1].requires_grad))
    model(xs, ys, *loops)
    n_loops, window = loops
    assert graphs == [False] * (n_loops - window) + [True] * window


@given(prompted_models(), loops_and_windows())
def test_the_first_loops_do_not_depend_on_n_loops(prompted, loops):
    model, xs, ys = prompted
    n_loops, fewer = loops
    assert torch.equal(model(xs, ys, n_loops)[:fewer], model(xs, ys, fewer))


@given(prompted_models(), loops_and_windows())
def test_a_window_is_the_last_loops(prompted, loops):
    model, xs, ys = prompted
    n_loops, window = loops
    assert torch.equal(model(xs, ys, n_loops, window), model(xs, ys, n_loops)[-window:])


@given(prompted_models(), loops)
def test_there_is_a_prediction_for_every_loop_prompt_and_query(prompted, n_loops):
    model, xs, ys = prompted
    n_queries = 1 if model.config.prompt == "joint" else xs.shape[1]
    assert model(xs, ys, n_loops).shape == (n_loops, len(xs), n_queries)


@given(prompted_models(), loops)
def test_the_last_y_is_never_read(prompted, n_loops):
    model, xs, ys = prompted
    unknown = ys.clone()
    unknown[:, -1] = torch.nan
    assert torch.equal(model(xs, unknown, n_loops), model(xs, ys, n_loops))


@given(prompted_models(["interleaved"]), loops, st.data())
def test_a_prediction_sees_neither_its_own_y_nor_later_points(prompted, n_loops, data):
    model, xs, ys = prompted
    j = data.draw(st.integers(0, xs.shape[1] - 1))
    other_xs, other_ys = xs.clone(), ys.clone()
    other_xs[:, j + 1 :] += 1
    other_ys[:, j:] += 1
    before, after = model(xs, ys, n_loops), model(other_xs, other_ys, n_loops)
    assert torch.equal(after[..., : j + 1], before[..., : j + 1])
    assert (after[..., j + 1 :] != before[..., j + 1 :]).all()


@given(prompted_models(["interleaved"]), loops, st.data())
def test_a_prefix_is_predicted_as_part_of_the_whole(prompted, n_loops, data):
    model, xs, ys = prompted
    j = data.draw(st.integers(1, xs.shape[1]))
    whole = model(xs, ys, n_loops)[..., :j]
    torch.testing.assert_close(model(xs[:, :j], ys[:, :j], n_loops), whole)


@given(prompted_models(), loops, st.data())
def test_the_full_context_query_sees_every_example(prompted, n_loops, data):
    model, *prompts = prompted
    example = data.draw(st.integers(0, model.config.n_points - 2))
    before = model(*prompts, n_loops)
    for part in (0, 1):
        changed = [numbers.clone() for numbers in prompts]
        changed[part][:, example] += 1
        assert (model(*changed, n_loops)[..., -1] != before[..., -1]).all()


@given(prompted_models(), loops)
def test_a_prompt_does_not_see_its_batch(prompted, n_loops):
    model, xs, ys = prompted
    alone = [model(xs[i : i + 1], ys[i : i + 1], n_loops) for i in range(len(xs))]
    torch.testing.assert_close(model(xs, ys, n_loops), torch.cat(alone, dim=1))


@given(seeds, loops, loops)
def test_a_seed_gives_one_start_at_every_b(seed, b, other_b):
    models = [seeded(TrainConfig(b=count).model_config, seed) for count in (b, other_b)]
    first, second = (model.state_dict() for model in models)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@given(seeds)
def test_another_seed_gives_another_start(seed):
    assert (seeded(TINY, seed).read_in.weight != seeded(TINY, seed + 1).read_in.weight).all()


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("init", ["lecun", "gpt2"])
def test_weights_start_normal_with_the_stated_spread(size, init, prompt):
    model = seeded(ModelConfig(SIZES[size], 5, 64, prompt), init=init)
    for name, weight in model.named_parameters():
        if name.endswith("bias"):
            assert not weight.any()
        elif "norm" in name:
            assert (weight == 1).all()
        else:
            fan_in = len(weight) if name == "positions.weight" else weight.shape[1]
            std = fan_in**-0.5 if init == "lecun" else 0.02
            if re.search("attention_out|mlp_out", name):
                std /= (2 * SIZES[size].n_layer) ** 0.5
            units = weight.detach().flatten() / std
            assert standard_errors_off(units, 0.0) < 5
            assert standard_errors_off(units**2, 1.0) < 5
            assert len(units) < 1000 or standard_errors_off(units**4, 3.0) < 5


@given(model_configs(), seeds)
def test_pytorchs_start_is_what_pytorch_gives_its_modules(config, seed):
    model = seeded(config, seed, init="pytorch")
    torch.manual_seed(seed)
    read_in = torch.nn.Linear(config.n_features, config.size.n_embd)
    positions = torch.nn.Embedding(config.n_tokens, config.size.n_embd)
    assert torch.equal(model.read_in.weight, read_in.weight)
    assert torch.equal(model.read_in.bias, read_in.bias)
    assert torch.equal(model.positions.weight, positions.weight)


@pytest.mark.parametrize(
    ("loops", "message"),
    [
        ((0,), "n_loops must be at least 1, got 0"),
        ((-2,), "n_loops must be at least 1, got -2"),
        ((3, 0), "grad_loops must lie in [1, n_loops=3], got 0"),
        ((3, 4), "grad_loops must lie in [1, n_loops=3], got 4"),
    ],
)
def test_loop_counts_are_checked(loops, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        seeded(TINY)(torch.zeros(2, 5, 3), torch.zeros(2, 5), *loops)


@pytest.mark.parametrize(
    ("prompt", "xs_shape", "ys_shape"),
    [
        ("joint", (2, 4, 3), (2, 4)),
        ("joint", (2, 6, 3), (2, 6)),
        ("joint", (2, 5, 2), (2, 5)),
        ("joint", (2, 5, 3), (2, 4)),
        ("joint", (2, 5, 3), (3, 5)),
        ("joint", (5, 3), (5,)),
        ("interleaved", (2, 6, 3), (2, 6)),
        ("interleaved", (2, 5, 4), (2, 5)),
        ("interleaved", (2, 0, 3), (2, 0)),
    ],
)
def test_prompts_of_another_shape_are_refused(as_users_run_it, prompt, xs_shape, ys_shape):
    model = seeded(ModelConfig(SIZES["tiny"], 3, 5, prompt))
    at_most = "" if prompt == "joint" else "at most "
    message = (
        f"xs must hold {at_most}5 points of 3 dimensions per prompt, and ys a number for each, "
        f"got shapes {xs_shape} and {ys_shape}"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        model(torch.zeros(xs_shape), torch.zeros(ys_shape), 1)


def test_an_unknown_start_is_refused():
    with pytest.raises(ValueError, match=r"^init must be one of lecun, gpt2, pytorch, got zeros$"):
        seeded(TINY, init="zeros")


@pytest.mark.parametrize("ys_shape", [(3, 5), (2, 4)])
def test_ys_that_do_not_match_their_xs_break_the_signature(ys_shape):
    with pytest.raises(TypeCheckError):
        seeded(TINY)(torch.zeros(2, 5, 3), torch.zeros(ys_shape), 1)


@pytest.mark.parametrize("module", [model, loop])
def test_the_examples_in_docstrings_hold(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
