"""Runs as they are read from a store, with facts that a report must show."""

from dataclasses import replace

import numpy as np

from analysis.report import subject
from analysis.runs.logged_run import LoggedRun
from looped.config import TrainConfig

BITS = {"tiny": {1: 1.0, 5: 2.0, 10: 2.4}, "small": {1: 2.0, 5: 2.6, 10: 2.8}}
"""Mean E of the seeds, which lie a tenth of a bit below, on and above it."""

SEEDS = (1, 2, 3)
LOST = {"tiny": 0.5, "small": 0.25}
"""Bits lost beyond b, at once."""

FACTOR = {1: 1.0, 5: 0.5, 10: 0.25}
"""Loss of a training at b over that at b = 1, at every step."""

BEYOND_B = {
    "extrapolation/band_first": 4.0,
    "extrapolation/band_last": 7.0,
    "extrapolation/band_loops": 4.0,
    "extrapolation/tail_band_first": 5.0,
    "extrapolation/tail_band_last": 5.0,
    "dynamics/prompts": 16.0,
    "dynamics/settles": 1.0,
    "dynamics/settles_lower": 0.79,
    "dynamics/settles_upper": 1.0,
    "dynamics/spectral_radius": 0.5,
    "dynamics/spectral_radius_least": 0.25,
    "dynamics/spectral_radius_most": 0.75,
    "dynamics/tail_cycles_lower": 0.75,
}
"""What each run's evaluation said of its loops."""

N_LOOPS = 20
STEPS = tuple(range(0, 1000, 20))
BASELINES = {"least_squares": 1e-14, "averaging": 0.2, "nearest_neighbours": 40.0}


def config(size="tiny", b=5, seed=2, **settings):
    return TrainConfig(size=size, b=b, seed=seed, **settings).resolved("cpu", "fp32")


def run(size="tiny", b=5, seed=2, bits=None, n_loops=N_LOOPS, plateau=False, **settings):
    """One run; ``bits`` is E after b loops."""
    resolved_config = config(size, b, seed, **settings)
    bits = BITS[size][b] + 0.1 * (seed - 2) if bits is None else bits
    loops = np.arange(1, n_loops + 1)
    curve = np.where(loops < b, bits * loops / b, np.where(loops > b, bits - LOST[size], bits))
    nmse = [float(value) for value in 0.25**curve]
    training = {"step": list(STEPS), "loss": [FACTOR[b] * 0.99**step for step in STEPS]}
    return LoggedRun(
        run_id=f"{resolved_config.name}-{resolved_config.recipe_identity}-{resolved_config.task}",
        name=resolved_config.name,
        config=resolved_config,
        tags={"plateau": str(plateau).lower(), "convergence": "settled"},
        loops={"nmse": nmse, "nmse_se": [0.01 * x for x in nmse], "nmse_median": nmse},
        prompts=12_800,
        state_change=[0.5**loop for loop in range(2, n_loops + 1)],
        prediction_change=[0.25**loop for loop in range(2, n_loops + 1)],
        metrics={"memory/peak_mib": 100.0 * b, "speed/steps_per_s": 1.0} | BEYOND_B,
        training=training | {"query_error": training["loss"]},
        speed=[1.0, *[100.0 / b + seed * 1e-6] * 9],
    )


def runs(**settings):
    """The whole study: 2 sizes, 3 b, 3 seeds."""
    return [
        run(size, b, seed, **settings)
        for size, bits_by_b in BITS.items()
        for b in bits_by_b
        for seed in SEEDS
    ]


def runs_without(runs, **changes):
    """The same runs without something."""
    return [replace(logged_run, **changes) for logged_run in runs]


def subject_of(planted_runs=None, baselines=BASELINES, **choice):
    """The only subject of some runs."""
    planted_runs = runs() if planted_runs is None else planted_runs
    scores = {logged_run.run_id: baselines for logged_run in planted_runs}
    (only_subject,) = subject.choose(planted_runs, scores, **choice)
    return only_subject


def lines(axes):
    """What is drawn, by its label."""
    return {line.get_label(): line for line in axes.get_lines()}


def xs_and_ys(axes, label):
    line = lines(axes)[label]
    return list(line.get_xdata()), list(line.get_ydata())


def bands(axes):
    """By colour, the two ends of each band at each x."""
    ends_by_colour = {}
    for band in axes.collections:
        ends = {}
        for x, y in band.get_paths()[0].vertices:
            ends.setdefault(float(x), []).append(float(y))
        colour = tuple(band.get_facecolor()[0][:3])
        ends_by_colour[colour] = {x: (min(ys), max(ys)) for x, ys in ends.items()}
    return ends_by_colour
