"""What a looped state does in the long run: settles, cycles, drifts or diverges.

The rule reads the states themselves over the later loops, each prompt by itself, and knows nothing
of transformers: any sequence of states will do. What it says holds for the loops that were run.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]

KINDS = ("settles", "cycles", "drifts", "diverges", "undecided")
MIXED = "mixed"
"""The word for a run of which no kind has the majority of prompts for sure."""

LEAST_STEPS = 8
"""With fewer steps to look at nothing is said."""

AT_REST = 1e-5
"""A step so small beside the state is one that rounding in fp32 makes too."""
SUMMABLE = 1.0
"""Steps that fall faster than 1 / loop have a finite sum: the way still to go is finite."""
STEADY = 0.25
"""Steps that fall more slowly than 1 / loop to this power count as not falling."""
RETURN = 0.1
"""A state returns if it comes back to so little of how far it had been away."""
STRAIGHT = 1.7
"""Twice the loops lead twice as far on a straight line, 1.41 times as far on a random walk."""


def window_start(b: int, n_loops: int) -> int | None:
    """Return the loop after which states are looked at: beyond b, in the later half.

    None where fewer than ``LEAST_STEPS`` steps are left.

    Example:
        >>> window_start(5, 50), window_start(40, 50), window_start(5, 12)
        (25, 40, None)
    """
    first = max(b, n_loops // 2)
    return first if n_loops - first >= LEAST_STEPS else None


@dataclass(frozen=True)
class Behaviour:
    """What the state of each prompt does.

    Attributes:
        kinds: an index into ``KINDS`` for each prompt.
        periods: the period of those that cycle, 0 for the others.
    """

    kinds: npt.NDArray[np.intp]
    periods: npt.NDArray[np.intp]


def classify(states: Floats, first: int) -> Behaviour:
    """Say of every prompt what its state does, by the first of these rules that holds.

    - **diverges**: a state is not finite, or its norm and its steps both grow faster than the
      number of loops.
    - **settles**: every step of the last quarter is within rounding of 0 (``AT_REST``), or steps
      fall faster than 1 / loop, so that their sum is finite.
    - **cycles**: after k loops it is back within a tenth of how far it had been away in between
      (``RETURN``); the period is the least such k of 2 or more that is nearer than its neighbours.
    - **drifts**: steps do not fall (``STEADY``) and lead away: the more loops the farther, and in
      the whole window twice as far as in half of it, or nearly (``STRAIGHT``).

    What none of them fits is undecided. Powers of the loop are slopes of straight lines through
    logarithms, and must hold in the window and in its later half alike.

    Args:
        states: of shape (loop, prompt, dim), after the loops ``first``, ``first`` + 1, ...
        first: the number of the first loop, 1 or more.

    Returns:
        A kind and a period for each prompt.

    Raises:
        ValueError: there are fewer than ``LEAST_STEPS`` steps.

    Example:
        >>> halved = 0.5 ** np.arange(10, 21)[:, None, None]
        >>> turned = np.cos(np.pi * np.arange(10, 21) / 2)[:, None, None]
        >>> both = classify(np.concatenate([halved, turned], axis=1), first=10)
        >>> [KINDS[kind] for kind in both.kinds], both.periods.tolist()
        (['settles', 'cycles'], [0, 4])
    """
    n_steps = len(states) - 1
    half = n_steps // 2
    if n_steps < LEAST_STEPS:
        raise ValueError(f"states must have at least {LEAST_STEPS} steps, got {n_steps}")
    is_finite = np.asarray(np.isfinite(states).all(axis=(0, 2)))
    states = np.where(is_finite[:, None], states, 0.0)
    norms = np.linalg.norm(states, axis=2)[1:]
    steps = np.linalg.norm(np.diff(states, axis=0), axis=2)
    is_at_rest = (steps[-(n_steps // 4) :] <= AT_REST * norms[-(n_steps // 4) :]).all(axis=0)
    loops = np.arange(first + 1, first + 1 + n_steps)
    falls = _powers(loops, 1 / np.maximum(steps, np.finfo(np.float32).tiny))
    grows = _powers(loops, np.maximum(norms, np.finfo(np.float32).tiny))
    explodes = (grows.min(axis=0) > 1) & (falls.max(axis=0) < -1)
    away = _distances(states)
    periods = _periods(away)
    from_start, from_middle = (
        np.linalg.norm(states[-1] - states[index], axis=1) for index in (n_steps % 2, -half - 1)
    )
    is_leaving = (np.diff(away, axis=0) > 0).all(axis=0)
    is_straight = from_start >= STRAIGHT * from_middle
    conditions = [
        ~is_finite | explodes,
        is_at_rest | (falls.min(axis=0) > SUMMABLE),
        periods > 0,
        is_leaving & is_straight & (falls[0] < STEADY),
    ]
    names = ("diverges", "settles", "cycles", "drifts")
    indices = [np.intp(KINDS.index(name)) for name in names]
    kinds = np.select(conditions, indices, KINDS.index("undecided"))
    return Behaviour(kinds, np.where(kinds == KINDS.index("cycles"), periods, 0))


def _powers(loops: npt.NDArray[np.intp], values: Floats) -> Floats:
    """Return the power of the loop that values grow with, in all the loops and the later half."""
    powers = []
    for part in (slice(None), slice(len(loops) // 2, None)):
        x = np.log(loops[part])
        x = x - x.mean()
        powers.append(x @ np.log(values[part]) / (x @ x))
    return np.stack(powers)


def _distances(states: Floats) -> Floats:
    """Return how far states are apart that lie 1, 2, ... loops apart, (lag, prompt)."""
    most = (len(states) - 1) // 2  # so that each of the later half of the states has all lags
    now = states[most:]
    befores = (states[most - lag : -lag] for lag in range(1, most + 1))
    return np.stack([np.sqrt(np.square(now - old).sum(axis=2).mean(axis=0)) for old in befores])


def _periods(away: Floats) -> npt.NDArray[np.intp]:
    """Return the least number of loops after which each state is back; 0 where it is not."""
    farthest = np.maximum.accumulate(away, axis=0)[:-1]
    is_back = (farthest > 0) & (away[1:] <= RETURN * farthest)
    is_back[:-1] &= away[1:-1] <= away[2:]
    return np.where(is_back.any(axis=0), is_back.argmax(axis=0) + 2, 0)


def interval(count: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return the Clopper-Pearson interval of a share, which covers it at its level or more.

    Clopper and Pearson, Biometrika 26 (1934).

    Example:
        >>> [round(end, 3) for end in interval(16, 16)]
        [0.794, 1.0]
    """
    from scipy.special import betaincinv  # SciPy would delay a training's first step

    tail = (1 - level) / 2
    low = 0.0 if count == 0 else float(betaincinv(count, n - count + 1, tail))
    high = 1.0 if count == n else float(betaincinv(count + 1, n - count, 1 - tail))
    return low, high


def shares(behaviour: Behaviour) -> dict[str, float]:
    """Return each kind's share of the prompts with its interval, and the cycles' median period.

    Example:
        >>> of_sixteen = shares(Behaviour(np.zeros(16, np.intp), np.zeros(16, np.intp)))
        >>> of_sixteen["settles"], round(of_sixteen["settles_lower"], 3), of_sixteen["prompts"]
        (1.0, 0.794, 16.0)
    """
    n = len(behaviour.kinds)
    values: dict[str, float] = {"prompts": float(n)}
    for index, kind in enumerate(KINDS):
        count = int((behaviour.kinds == index).sum())
        low, high = interval(count, n)
        values |= {kind: count / n, f"{kind}_lower": low, f"{kind}_upper": high}
    periods = behaviour.periods[behaviour.periods > 0]
    return values | ({"period": float(np.median(periods))} if len(periods) else {})


def word_of(values: Mapping[str, float], prefix: str = "") -> str:
    """Say in a word what a run's state does, where most prompts do the same for sure.

    That is where the lower end of a kind's interval is above a half. If no kind has the majority
    of all prompts, a word comes with a probability of at most 5 %.

    Args:
        values: of ``shares``.
        prefix: begins their names.

    Returns:
        One of ``KINDS``, or ``MIXED``.

    Example:
        >>> word_of({"settles_lower": 0.79, "cycles_lower": 0.0})
        'settles'
        >>> word_of({"settles_lower": 0.4, "cycles_lower": 0.2})
        'mixed'
    """
    majority = (kind for kind in KINDS if values.get(f"{prefix}{kind}_lower", 0.0) > 0.5)
    return next(majority, MIXED)


def say(values: Mapping[str, float], prefix: str = "") -> str:
    """Say in a line what states do, of how many prompts, and how steep the loop is there.

    Args:
        values: of ``dynamics.follow``.
        prefix: begins their names.

    Example:
        >>> say(shares(Behaviour(np.zeros(16, np.intp), np.zeros(16, np.intp))))
        'the state settles (100 % of 16 prompts, 95 % interval 79 to 100)'
    """
    word, n = word_of(values, prefix), f"{values[prefix + 'prompts']:.0f} prompts"
    if word == MIXED:
        kinds = {kind: values[prefix + kind] for kind in KINDS if values[prefix + kind]}
        counts = ", ".join(
            f"{kind} {share:.0%}".replace("%", " %") for kind, share in kinds.items()
        )
        text = f"the state is mixed ({counts} of {n})"
    else:
        share, low, high = (
            f"{100 * values[f'{prefix}{word}{end}']:.0f}" for end in ("", "_lower", "_upper")
        )
        is_what = "is undecided" if word == "undecided" else word
        text = f"the state {is_what} ({share} % of {n}, 95 % interval {low} to {high})"
    radius, least, most = (
        values.get(f"{prefix}spectral_radius{end}") for end in ("", "_least", "_most")
    )
    if radius is None or least is None or most is None:
        return text
    return f"{text}; spectral radius {radius:.2f} ({least:.2f} to {most:.2f})"
