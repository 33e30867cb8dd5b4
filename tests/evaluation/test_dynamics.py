"""Eigenvalues of the loop against those of the dense Jacobian, and what an evaluation tells."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import model_configs

from looped import SIZES, LoopedTransformer, make_task
from looped.evaluation.behaviour import KINDS, classify
from looped.evaluation.dynamics import follow, with_dynamics
from looped.evaluation.held_out import evaluate
from looped.evaluation.jacobian import eigenvalues, spectral_radii
from looped.records.record_rules import check_record


def state_of(model, n_loops=8, batch=2):
    config = model.config
    xs, ys = make_task("linear", n_dims=config.n_dims).batch(1, 0, batch, config.n_points)
    with torch.no_grad():
        p = model.embed(xs, ys)
        z = torch.zeros_like(p)
        for _ in range(n_loops):
            z = model.loop(z, p)
    return z, p


def dense_jacobian(model, z, p):
    """Of one prompt, as autograd has it for the model's own loop: (token embd, token embd)."""
    jacobian = torch.autograd.functional.jacobian(lambda x: model.loop(x[None], p[None])[0], z)
    return jacobian.flatten(2).flatten(0, 1).double()


def perturbed(config, seed, scale=0.3):
    torch.manual_seed(seed)
    model = LoopedTransformer.from_config(config)
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(torch.randn_like(weights), alpha=scale)
    return model


@given(config=model_configs(), seed=st.integers(0, 99))
@settings(max_examples=8)
def test_the_radius_is_that_of_the_dense_jacobian(config, seed):
    model = perturbed(config, seed)
    z, p = state_of(model)
    radii = spectral_radii(model, z, p)
    for index in range(len(z)):
        dense = torch.linalg.eigvals(dense_jacobian(model, z[index], p[index])).abs().max()
        assert float(radii[index]) == pytest.approx(float(dense), rel=2e-2, abs=1e-3)


def test_all_eigenvalues_of_nano_are_those_of_the_dense_jacobian():
    torch.manual_seed(0)
    model = LoopedTransformer(SIZES["nano"], n_dims=2, n_points=5)
    z, p = state_of(model)
    for values, state, prompt in zip(eigenvalues(model, z, p), z, p, strict=True):
        dense = torch.linalg.eigvals(dense_jacobian(model, state, prompt))
        came, expected = (part.abs().flatten().sort().values for part in (values, dense))
        torch.testing.assert_close(came, expected, rtol=1e-4, atol=1e-5)
        assert (values.imag.abs() > 1e-3).any()  # complex pairs are among them


def test_steps_to_a_fixed_point_shrink_by_the_radius_in_the_long_run():
    torch.manual_seed(0)
    model = LoopedTransformer(SIZES["nano"], n_dims=2, n_points=3).double()
    z, p = state_of(model.float(), 60)
    model, z, p = model.double(), z.double(), p.double()
    with torch.no_grad():
        for _ in range(2000):
            z = model.loop(z, p)
    (radius, _) = spectral_radii(model, z, p).tolist()
    jacobian = dense_jacobian(model, z[0], p[0])
    direction = torch.ones(len(jacobian), dtype=torch.float64)
    logs = []
    for _ in range(400):  # power iteration, with the growth of the norm over many steps
        direction = jacobian @ direction
        logs.append(direction.norm().log().item())
        direction = direction / direction.norm()
    assert np.mean(logs[100:]) == pytest.approx(np.log(radius), abs=0.02)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return LoopedTransformer(SIZES["nano"], n_dims=2, n_points=5)


TASK = make_task("linear", n_dims=2)


def test_it_follows_the_states_of_the_first_held_out_prompts(model):
    values = follow(model, TASK, first=10, n_loops=20, n_prompts=20)
    xs, ys = TASK.batch(0, 0, 256, 5, held_out=True)
    with torch.no_grad():
        p = model.embed(xs[:20], ys[:20])
        z, states = torch.zeros_like(p), []
        for _ in range(20):
            z = model.loop(z, p)
            states.append(z.flatten(1).numpy())
    kinds = classify(np.stack(states[9:]), first=10).kinds
    for index, kind in enumerate(KINDS):
        assert values[kind] == (kinds == index).mean()
    assert (values["prompts"], values["first_loop"], values["loops"]) == (20, 10, 20)
    radii = spectral_radii(model, z[:8], p[:8])
    assert values["spectral_radius"] == pytest.approx(float(np.median(radii)), rel=1e-4)
    assert values["spectral_radius_most"] == pytest.approx(float(radii.max()), rel=1e-4)


def test_an_evaluation_says_it_of_both_weights_where_there_are_loops_beyond(model):
    evaluation = evaluate(model, TASK, 16, 64)
    told_evaluation = with_dynamics(model, TASK, 3, evaluation)
    assert told_evaluation.dynamics["prompts"] == 16
    record = told_evaluation.record(3, replace(told_evaluation, dynamics={"settles": 0.5}))
    assert record["dynamics"] == told_evaluation.dynamics | {"tail_settles": 0.5}
    assert record["summary"]["tail_band_first"] == record["summary"]["band_first"]
    assert not with_dynamics(model, TASK, 12, evaluation).dynamics  # four loops say nothing


def test_an_untied_model_has_no_loops_beyond_and_no_dynamics():
    model = LoopedTransformer(SIZES["nano"], n_dims=2, n_points=5, n_stacks=16)
    evaluation = evaluate(model, TASK, 16, 64)
    assert not with_dynamics(model, TASK, 1, evaluation).dynamics


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"dynamics": {"settles": "most"}}, "settles must be a finite number"),
        ({"dynamics": {"a/b": 1.0}}, "a curve must have a name like ours"),
        ({"dynamics": [1.0]}, "dynamics must be a JSON object"),
    ],
)
def test_a_journal_may_lack_it_but_not_hold_what_is_not_ours(model, changes, rule):
    record = {"kind": "evaluation", "time": 1, "step": 1}
    record |= with_dynamics(model, TASK, 3, evaluate(model, TASK, 16, 64)).record(3)
    check_record(record)
    older = {key: value for key, value in record.items() if key != "dynamics"}
    older["loops"] = {k: v for k, v in record["loops"].items() if k != "prediction_change"}
    check_record(older)
    with pytest.raises(ValueError, match=rule):
        check_record(record | changes)
