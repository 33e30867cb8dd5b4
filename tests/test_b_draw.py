import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import steps

from looped import TrainConfig, b_draw

MANY = 20_000


def plain(name, b, size):
    """Draws as the distributions are stated, from NumPy's generator."""
    generator = np.random.default_rng(b)
    if name == "uniform":
        return generator.integers(1, 2 * b, size=size)
    if name == "fixed" or b == 1:
        return np.full(size, b)
    tau = generator.normal(np.log(b - 1) - 0.5**2 / 2, 0.5, size=2 * size)
    counts = generator.poisson(np.exp(tau)) + 1
    return counts[counts <= 4 * b][:size]


def ours(name, b, size=MANY):
    return np.array([b_draw.draw(name, b, step) for step in range(size)])


@given(st.sampled_from(b_draw.DISTRIBUTIONS), st.integers(1, 40), steps)
def test_a_draw_lies_in_its_distribution_and_depends_on_its_arguments_alone(name, b, step):
    n_loops = b_draw.draw(name, b, step)
    most = {"fixed": b, "uniform": 2 * b - 1, "poisson_lognormal": 4 * b}[name]
    assert b == n_loops if name == "fixed" or b == 1 else 1 <= n_loops <= most
    assert b_draw.distribution(name, b)[n_loops] > 0
    assert TrainConfig(b=b, b_draw=name, seed=step % 7).loops_of_step(step) == n_loops


@pytest.mark.parametrize("name", b_draw.DISTRIBUTIONS)
@pytest.mark.parametrize("b", [1, 2, 5, 15, 40])
def test_a_distribution_is_one_of_mean_b(name, b):
    distribution = b_draw.distribution(name, b)
    assert sum(distribution.values()) == pytest.approx(1)
    mean = sum(n_loops * share for n_loops, share in distribution.items())
    if name == "poisson_lognormal":
        assert 0.995 * b < mean <= b
    else:
        assert mean == pytest.approx(b)


@pytest.mark.parametrize("name", ["uniform", "poisson_lognormal"])
@pytest.mark.parametrize("b", [2, 10, 40])
def test_draws_are_distributed_as_those_of_the_plain_twin(name, b):
    """Both are held to mean, spread and every cumulative share of it, within chance."""
    distribution = b_draw.distribution(name, b)
    counts, shares = np.array(list(distribution)), np.array(list(distribution.values()))
    mean = (counts * shares).sum()
    for sample in (ours(name, b), plain(name, b, MANY)):
        assert len(sample) == MANY
        assert abs(sample.mean() - mean) < 4 * sample.std() / np.sqrt(MANY)
        below = (sample[:, None] <= counts).mean(axis=0)
        assert np.abs(below - shares.cumsum()).max() < 2.2 / np.sqrt(MANY)  # Kolmogorov, 1e-4


def test_steps_are_drawn_apart_and_all_of_a_distribution_comes():
    sample = ours("uniform", 5)
    assert set(sample) == set(range(1, 10))
    assert abs(np.corrcoef(sample[:-1], sample[1:])[0, 1]) < 4 / np.sqrt(MANY)


def test_the_draws_of_a_step_never_change():
    """A training of this code must go on where an older one stopped."""
    assert ours("uniform", 5, 12).tolist() == [2, 7, 7, 8, 9, 1, 8, 7, 3, 4, 1, 5]
    assert ours("poisson_lognormal", 10, 12).tolist() == [5, 12, 11, 13, 19, 2, 14, 13, 6, 8, 4, 8]
