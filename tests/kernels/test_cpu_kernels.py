"""The compiled kernels of the CPU against their plain twin, PyTorch's own operations."""

import logging
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from kernel_twins import (
    ODD,
    assert_equal,
    assert_evaluations_equal,
    errors_and_gradient,
    twins,
)
from small_trainings import TINY, train_in
from strategies import model_configs

from looped import tasks
from looped.evaluation.held_out import evaluate
from looped.grid.engines.local_engine import LocalEngine
from looped.grid.options import GridOptions
from looped.kernels.cpu import library, processor
from looped.kernels.cpu.chain import CpuChain
from looped.model import LoopedTransformer
from looped.sizes import SIZES, Size
from looped.tasks.task_config import TaskConfig
from looped.training import loop, resolve
from looped.windows import Windows

pytestmark = pytest.mark.skipif(library.library() is None, reason="there is no C++ compiler")


@pytest.mark.parametrize(
    ("size", "bs", "settings"),
    [
        (SIZES["tiny"], [1], {}),
        (SIZES["small"], [4, 4], {"n_examples": 20}),
        (SIZES["medium"], [2], {"prompt": "interleaved"}),
        (ODD, [3, 1, 1], {}),
        (ODD, [5], {"prompt": "interleaved", "checkpoint_loops": True}),
        (ODD, [7, 2], {"checkpoint_loops": True}),
    ],
)
def test_they_have_the_errors_and_gradients_of_their_plain_twin(size, bs, settings, monkeypatch):
    assert_equal(*twins(monkeypatch, size, bs, **settings))


@given(
    size=st.builds(
        lambda layers, heads, head, mlp: Size(layers, heads, heads * head, mlp, 1e-3),
        st.integers(1, 2), st.integers(1, 3), st.integers(4, 18), st.integers(1, 40),
    ),
    b=st.integers(1, 4),
    n_examples=st.integers(1, 33),
    prompt=st.sampled_from(["joint", "interleaved"]),
    windows=st.builds(Windows, loss=st.integers(1, 5), grad=st.integers(1, 5)),
    other_b=st.none() | st.integers(1, 4),
    checkpoint_loops=st.booleans(),
)  # fmt: skip
def test_any_shape_is_served(size, b, n_examples, prompt, windows, other_b, checkpoint_loops):
    with pytest.MonkeyPatch.context() as patch:
        plain, compiled, xs, ys = twins(
            patch, size, [b], batch=2, n_examples=n_examples, prompt=prompt,
            checkpoint_loops=checkpoint_loops,
        )  # fmt: skip
        for model in (plain, compiled):
            model.windows, model.seen = windows, torch.tensor([windows.loss])
        # A norm of few numbers may divide by little: both are then as far from the exact gradient.
        # With b drawn, for the step or for each prompt, the windows are what was just set.
        loops = b if other_b is None else (other_b, b)
        assert_equal(plain, compiled, xs, ys, drawn_loops=loops, tolerance=3e-4)


@pytest.mark.skipif(not processor.can_multiply("bf16"), reason="no AVX512-BF16")
@pytest.mark.parametrize("prompt", ["joint", "interleaved"])
def test_in_bf16_gradients_are_near_those_of_float32(prompt, monkeypatch):
    plain, compiled, xs, ys = twins(monkeypatch, ODD, [3], n_examples=20, prompt=prompt)
    compiled.cpu_chain = CpuChain(compiled.config, precision="bf16")
    losses, _, gradients = errors_and_gradient(plain, xs, ys)
    came_losses, _, came = errors_and_gradient(compiled, xs, ys)
    torch.testing.assert_close(came_losses, losses, rtol=2e-2, atol=0)
    off = sum(float((came[name] - gradient).norm()) ** 2 for name, gradient in gradients.items())
    length = sum(float(gradient.norm()) ** 2 for gradient in gradients.values())
    assert 1e-4 < (off / length) ** 0.5 < 2e-2  # not those of float32 themselves


def test_threads_share_the_prompts(monkeypatch):
    _, compiled, xs, ys = twins(monkeypatch, ODD, [2], batch=5)
    alone = errors_and_gradient(compiled, xs, ys)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(7)  # more than there are prompts
        from_threads = errors_and_gradient(compiled, xs, ys)
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(from_threads[:2], alone[:2])
    for name, gradient in alone[2].items():
        torch.testing.assert_close(from_threads[2][name], gradient, rtol=1e-4, atol=1e-6)


def test_what_is_not_a_number_is_seen(monkeypatch):
    _, compiled, xs, ys = twins(monkeypatch, ODD, [2])
    xs[0, 1, 2, 0] = torch.nan
    losses, _, gradients = errors_and_gradient(compiled, xs, ys)
    assert losses.isnan().all()
    assert gradients["read_out.weight"].isnan().any()


def test_training_on_them_is_training(tmp_path):
    plain, expected = train_in(tmp_path / "off", replace(TINY, kernels="off"))
    compiled, came = train_in(tmp_path / "fused", replace(TINY, kernels="fused"))
    assert [step for step, _ in came] == [step for step, _ in expected]
    for (_, values), (_, expected_values) in zip(came, expected, strict=True):
        assert values == pytest.approx(expected_values, rel=1e-3)
    assert compiled.evaluation.nmse == pytest.approx(plain.evaluation.nmse, rel=1e-3)


@given(config=model_configs(), seed=st.integers(0, 99), n_loops=st.integers(1, 4))
def test_they_evaluate_as_the_model_predicts(config, seed, n_loops):
    torch.manual_seed(seed)
    model = LoopedTransformer.from_config(config)
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(torch.randn_like(weights), alpha=0.3)
    task = tasks.from_config(TaskConfig("linear", config.n_dims))
    plain = evaluate(model, task, n_loops, 9, kernels="off")
    fused = evaluate(model, task, n_loops, 9)
    assert_evaluations_equal(plain, fused)


@pytest.mark.parametrize("name", ["pointer_chain", "parity"])
def test_they_train_on_prompts_with_a_dial_as_plain_operations_do(name):
    config = replace(TINY, task=name, n_dims=4, b=3, steps=10)
    fused, plain = (
        loop.train(replace(config, kernels=kernels), n_prompts=64) for kernels in ("fused", "off")
    )
    assert fused.evaluation.nmse == pytest.approx(plain.evaluation.nmse, rel=1e-4)


def test_checkpointing_keeps_the_root_of_the_loops(monkeypatch):
    needed = {}
    for is_on in (False, True):
        for b in (16, 64):
            settings = {"batch": 1, "loop_window": b, "checkpoint_loops": is_on}
            _, compiled, xs, ys = twins(monkeypatch, SIZES["small"], [b], **settings)
            compiled.errors(xs, ys)
            needed[is_on, b] = compiled.cpu_chain.memory.numel()
    state = 6 * 64  # what a loop begins with, kept of every one
    assert needed[False, 64] > 3.8 * needed[False, 16]
    assert needed[True, 64] - 64 * state < 2.2 * (needed[True, 16] - 16 * state)


@pytest.mark.parametrize("compiler", ["no-such-compiler", "false"])
def test_without_a_compiler_training_goes_on_plainly(compiler, tmp_path, monkeypatch, caplog):
    for cached in (library.library, library.load, library._compiler, library._stem):
        monkeypatch.setattr(library, cached.__name__, cached.__wrapped__)
    monkeypatch.setenv("CXX", compiler)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with caplog.at_level(logging.WARNING, "looped"):
        assert library.library() is None
    assert len(caplog.messages) == 1
    assert "fused kernels for the CPU are off" in caplog.text
    assert resolve.resolve(TINY).kernels == "off"
    with pytest.raises(
        ValueError, match=rf"kernels must be auto or off .* got fused: .*{compiler}"
    ):
        resolve.resolve(replace(TINY, kernels="fused"))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"tied": False}, "got fused with fp32 on cpu and tied=false, which they do not"),
        ({"b_draw": "uniform", "b_draw_unit": "prompt", "precision": "bf16"}, "with bf16 on cpu$"),
    ],
)
def test_what_no_kernels_serve_is_refused_them_and_runs_plainly(changes, why, monkeypatch):
    monkeypatch.setattr(processor, "listing", lambda: "flags : avx2 fma")  # no bf16
    config = replace(TINY, **changes)
    assert resolve.resolve(config).kernels == "off"
    with pytest.raises(ValueError, match=why):
        resolve.resolve(replace(config, kernels="fused"))


def test_a_short_training_does_not_wait_for_the_compiler(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(library, "_build", lambda *_: pytest.fail("it was compiled"))
    monkeypatch.setattr(library, "library", library.library.__wrapped__)
    assert resolve.resolve(TINY).kernels == "off"


def test_a_training_that_asks_for_them_waits_however_short_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    calls = []
    monkeypatch.setattr(library, "load", calls.append)
    assert resolve.resolve(replace(TINY, kernels="fused")).kernels == "fused"
    assert calls == ["fp32"]


@pytest.mark.parametrize(
    ("wish", "words"),
    [("sh -c", ("sh", "-c")), ("'sh'", ("sh",)), ("no-such-cache c++", None), ("'sh", None)],
)
def test_the_compiler_may_be_several_words(wish, words, monkeypatch):
    monkeypatch.setenv("CXX", wish)
    assert library._compiler.__wrapped__() == words


def test_the_trainings_of_a_grid_earn_the_compiler_together(monkeypatch):
    configs = [replace(TINY, seed=seed) for seed in range(8)]
    work = sum(config.steps * config.step_flops for config in configs)
    monkeypatch.setattr(library, "serves", lambda flops, _: flops >= work)
    assert resolve.resolve(configs[0]).kernels == "off"
    assert {config.kernels for config in LocalEngine(GridOptions()).resolve(configs)} == {"fused"}
