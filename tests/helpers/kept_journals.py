"""What the journals of ``results/`` say, read as plain JSON: a twin of the project's readers."""

import json
import math
from functools import cache
from pathlib import Path

import numpy as np
from scipy import stats

RESULTS = Path(__file__).parents[2] / "results"


@cache
def curves(study, weights=""):
    """Return the NMSE after every loop, by size, b and seed; ``tail_`` of the averaged weights."""
    curve_of = {}
    for journal in sorted(RESULTS.glob(f"{study}/*/journal.jsonl")):
        config = json.loads((journal.parent / "config.json").read_text())["config"]
        records = map(json.loads, journal.read_text().splitlines())
        (evaluation,) = (record for record in records if record["kind"] == "evaluation")
        key = config["size"], config["b"], config["seed"]
        curve_of[key] = evaluation["loops"][f"{weights}nmse"]
    return curve_of


def bits(study, size, b, weights=""):
    """Return E after b loops of each seed trained at b, in the order of the seeds."""
    curve_of = curves(study, weights)
    seeds = sorted({key[2] for key in curve_of})
    return np.array([-0.5 * math.log2(curve_of[size, b, seed][b - 1]) for seed in seeds])


def mean_and_interval(values):
    """Write a mean over seeds with Student's t interval of 95 %, as the pages do."""
    values = np.asarray(values)
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    mean = values.mean()
    return f"{mean:.2f}", f"[{mean - half:.2f}, {mean + half:.2f}]"


def losses_beyond(study, size, b, n_loops):
    """Return the error after so many loops over that after b, of each seed trained at b."""
    return [
        curve[n_loops - 1] / curve[b - 1]
        for key, curve in curves(study).items()
        if key[:2] == (size, b)
    ]
