"""What states do, on planted maps whose answer is known, and against a plain twin."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from looped.evaluation.behaviour import (
    AT_REST,
    KINDS,
    LEAST_STEPS,
    MIXED,
    RETURN,
    STEADY,
    STRAIGHT,
    Behaviour,
    classify,
    interval,
    say,
    shares,
    window_start,
    word_of,
)

DIM, N_PROMPTS, N_LOOPS = 12, 5, 50
FIRST = N_LOOPS // 2


def turned(seed=0):
    """A random rotation of the whole space, so that nothing happens along an axis."""
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((DIM, DIM)))[0]


def states_of(step, seed=0, n_loops=N_LOOPS, dim=DIM):
    """States after each loop from ``FIRST`` on, each prompt from a start of its own."""
    z = np.random.default_rng(seed).standard_normal((N_PROMPTS, dim))
    states = []
    for loop in range(1, n_loops + 1):
        z = step(z)
        if loop >= n_loops // 2:
            states.append(z)
    return np.stack(states)


def rotation(angle):
    plane = np.eye(DIM)
    plane[:2, :2] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    basis = turned()
    return basis @ plane @ basis.T


SHIFT = np.linspace(-1, 2, DIM)


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (lambda z: 0.5 * z, "settles"),  # to 0 within rounding
        (lambda z: 0.9 * z + SHIFT, "settles"),  # far from 0
        (lambda z: 0.95 * z @ turned(), "settles"),  # in a spiral
        (lambda z: SHIFT + 0 * z, "settles"),  # at once
        (lambda z: z, "settles"),  # never moved
        (lambda z: z + SHIFT, "drifts"),
        (lambda z: -z, "cycles"),
        (lambda z: 1.05 * z @ turned(), "diverges"),
        (lambda z: z * 1e200, "diverges"),  # beyond all numbers
        (lambda z: z * z**2 * np.inf, "diverges"),
        (lambda z: 0.99 * z, "undecided"),  # too slow for so few loops
        (lambda z: 1.01 * z @ turned(), "undecided"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow|invalid value")
def test_planted_maps_do_what_they_do(step, kind):
    behaviour = classify(states_of(step), FIRST)
    assert [KINDS[index] for index in behaviour.kinds] == [kind] * N_PROMPTS


@pytest.mark.parametrize("period", [2, 3, 5, 8, 12])
def test_a_rotation_cycles_with_its_period(period):
    states = states_of(lambda z: z @ rotation(2 * math.pi / period))
    behaviour = classify(states, FIRST)
    assert {KINDS[index] for index in behaviour.kinds} == {"cycles"}
    assert behaviour.periods.tolist() == [period] * N_PROMPTS
    # far from the origin, and on top of a decay, it is the same cycle
    decay = 0.5 ** np.arange(8, 8 + len(states))[:, None, None]
    assert classify(states + 100 + decay, FIRST).periods.tolist() == [period] * N_PROMPTS


def test_more_loops_tell_what_fewer_do_not():
    slow = {n: classify(states_of(lambda z: 0.98 * z, n_loops=n), n // 2) for n in (50, 200)}
    assert [KINDS[slow[n].kinds[0]] for n in (50, 200)] == ["undecided", "settles"]


def test_noise_and_random_walks_are_no_drift():
    """In as many dimensions as states have; a walk in a few may well lead straight away."""
    rng = np.random.default_rng(1)

    def noise(z):
        return rng.standard_normal(z.shape)

    for step in (noise, lambda z: z + noise(z)):
        behaviours = [classify(states_of(step, seed, dim=200), FIRST) for seed in range(20)]
        kinds = np.concatenate([behaviour.kinds for behaviour in behaviours])
        assert (kinds == KINDS.index("undecided")).mean() > 0.95


@given(
    kind=st.sampled_from(["shrink", "turn", "shift", "grow", "mixture"]),
    rate=st.floats(0.8, 1.2),
    angle=st.floats(0, math.pi),
    seed=st.integers(0, 10**6),
    n_loops=st.integers(2 * LEAST_STEPS + 1, 60),
)
@settings(max_examples=60)
def test_random_maps_are_judged_as_by_the_plain_twin(kind, rate, angle, seed, n_loops):
    basis = turned(seed)
    step = {
        "shrink": lambda z: min(rate, 1 / rate) * z @ basis,
        "turn": lambda z: z @ rotation(angle),
        "shift": lambda z: rate * z @ rotation(angle / 50) + SHIFT,
        "grow": lambda z: max(rate, 1 / rate) * z,
        "mixture": lambda z: np.tanh(3 * z @ basis) + rate,
    }[kind]
    states = states_of(step, seed, n_loops)
    first = n_loops // 2
    behaviour = classify(states, first)
    expected = [plain(states[:, prompt], first) for prompt in range(N_PROMPTS)]
    came = [(KINDS[kind], period) for kind, period in zip(*behaviour_lists(behaviour), strict=True)]
    assert came == expected


def behaviour_lists(behaviour):
    return behaviour.kinds.tolist(), behaviour.periods.tolist()


def plain(states, first):
    """The rule for one prompt, word by word, with lists and ``polyfit``."""
    n = len(states) - 1
    steps = [math.dist(states[t + 1], states[t]) for t in range(n)]
    norms = [float(np.linalg.norm(states[t + 1])) for t in range(n)]
    tiny = float(np.finfo(np.float32).tiny)

    def power(values, start):
        loops = [math.log(first + 1 + t) for t in range(start, n)]
        return np.polyfit(loops, [math.log(max(value, tiny)) for value in values[start:]], 1)[0]

    growth = [power(norms, start) for start in (0, n // 2)]
    fall = [-power(steps, start) for start in (0, n // 2)]
    if min(growth) > 1 and max(fall) < -1:
        return "diverges", 0
    last_quarter = range(n - n // 4, n)
    if all(steps[t] <= AT_REST * norms[t] for t in last_quarter) or min(fall) > 1:
        return "settles", 0
    away = []
    for lag in range(1, n // 2 + 1):
        squares = [math.dist(states[t], states[t - lag]) ** 2 for t in range(n // 2, n + 1)]
        away.append(math.sqrt(sum(squares) / len(squares)))
    for index in range(1, len(away)):
        is_nearest = index + 1 == len(away) or away[index] <= away[index + 1]
        farthest = max(away[:index])
        if farthest > 0 and away[index] <= RETURN * farthest and is_nearest:
            return "cycles", index + 1
    is_leaving = all(far > near for near, far in itertools.pairwise(away))
    whole, half = (
        math.dist(states[-1], states[n % 2]),
        math.dist(states[-1], states[-n // 2 - 1 + n % 2]),
    )
    if is_leaving and whole >= STRAIGHT * half and fall[0] < STEADY:
        return "drifts", 0
    return "undecided", 0


def test_too_few_steps_say_nothing():
    with pytest.raises(ValueError, match="at least 8 steps, got 7"):
        classify(np.ones((8, 1, 1)), 1)
    assert window_start(1, 15) == 7 and window_start(8, 15) is None
    assert window_start(50, 50) is None


@given(share=st.floats(0, 1), n=st.integers(5, 60))
def test_the_interval_covers_a_share_at_its_level_or_more(share, n):
    counts = range(n + 1)
    chances = [math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in counts]
    covers = [low <= share <= high for low, high in (interval(k, n) for k in counts)]
    assert sum(chance for chance, holds in zip(chances, covers, strict=True) if holds) > 0.95 - 1e-9


def behaviour_of(**counts):
    kinds = np.repeat([KINDS.index(name) for name in counts], list(counts.values()))
    return Behaviour(kinds, np.where(kinds == KINDS.index("cycles"), 4, 0))


@pytest.mark.parametrize(
    ("counts", "word", "line"),
    [
        ({"settles": 16}, "settles", "settles (100 % of 16 prompts, 95 % interval 79 to 100)"),
        ({"settles": 12, "cycles": 4}, MIXED, "is mixed (settles 75 %, cycles 25 % of 16 prompts)"),
        ({"undecided": 30, "drifts": 2}, "undecided", "is undecided (94 % of 32 prompts, "),
    ],
)
def test_a_word_is_for_a_sure_majority(counts, word, line):
    values = shares(behaviour_of(**counts))
    assert word_of(values) == word
    assert say(values).startswith(f"the state {line}")
    assert sum(values[kind] for kind in KINDS) == pytest.approx(1)
    assert values.get("period") == (4 if "cycles" in counts else None)
    renamed = {f"tail_{name}": value for name, value in values.items()}
    assert word_of(renamed, "tail_") == word and say(renamed, "tail_") == say(values)


def test_a_word_without_a_majority_comes_in_one_of_twenty_at_most():
    rng, n = np.random.default_rng(0), 64
    for chances in ((0.5, 0.5, 0, 0, 0), (0.45, 0.35, 0.2, 0, 0)):
        counts = rng.multinomial(n, chances, size=2000)
        sure = [max(interval(int(count), n)[0] for count in row) > 0.5 for row in counts[:400]]
        assert np.mean(sure) <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 400)
