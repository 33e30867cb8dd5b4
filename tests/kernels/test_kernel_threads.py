"""While the compiled kernels train, no thread of PyTorch's is left spinning on their cores."""

from dataclasses import replace

import pytest
import torch
from small_trainings import TINY

from looped import tasks
from looped.kernels.cpu import library, threads
from looped.training import loop, resolve
from looped.training.cuda_graph import step_of
from looped.training.replicas import Replicas

N_THREADS = 3


@pytest.fixture(autouse=True)
def some_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(N_THREADS)
    yield
    torch.set_num_threads(before)


@pytest.mark.skipif(library.library() is None, reason="there is no C++ compiler")
@pytest.mark.parametrize(("kernels", "torch_has"), [("fused", 1), ("off", N_THREADS)])
def test_a_step_gives_the_cores_to_the_kernels(monkeypatch, kernels, torch_has):
    config = resolve.resolve(replace(TINY, kernels=kernels))
    replicas = Replicas([loop.seeded_model(config)], [config])
    of_torch, of_kernels = [], []
    adam, pool = replicas._adam, threads.pool
    monkeypatch.setattr(
        replicas, "_adam", lambda flat: (of_torch.append(torch.get_num_threads()), adam(flat))
    )
    monkeypatch.setattr(threads, "pool", lambda n: (of_kernels.append(n), pool(n))[1])
    xs, ys = tasks.from_config(config.task_config).batch(0, 0, 4, config.n_examples + 1)
    step_of(replicas)((xs[None], ys[None]), config.rate, None)
    assert of_torch == [torch_has]
    assert of_kernels == ([N_THREADS] if kernels == "fused" else [])
    assert torch.get_num_threads() == N_THREADS


def test_a_step_that_fails_gives_the_threads_back():
    def fail():
        with threads.cores_to_kernels(), threads.cores_to_kernels():
            assert (torch.get_num_threads(), threads.n_threads()) == (1, N_THREADS)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert torch.get_num_threads() == threads.n_threads() == N_THREADS
