"""A study with a known law, as a table and as an MLflow store that looks like a real one."""

from dataclasses import asdict, replace

import numpy as np
import pandas as pd
from mlflow.entities import Metric, Param, RunTag

from analysis.scaling.form.forms import FORMS
from looped.config import TrainConfig

E_M = {"tiny": 1.85, "small": 2.9, "medium": 3.4}
TRUTH = {
    "power": (0.2,),
    "logarithmic/shared_gain": (0.4,),
    "logarithmic/of_E_M": (0.6, -0.4),
    "saturating_power/shared_gain": (1.8, 0.7),
    "saturating_power/shared_ceiling": (4.5, 0.7),
    "saturating_power/of_E_M": (2.5, -0.4, 0.7),
    "saturating_exponential/shared_gain": (1.8, 0.25),
    "saturating_exponential/shared_ceiling": (4.5, 0.25),
    "saturating_exponential/of_E_M": (2.2, -0.4, 0.25),
    "stretched_exponential/shared_gain": (1.8, 0.2, 0.6),
    "stretched_exponential/shared_ceiling": (4.5, 0.2, 0.6),
    "stretched_exponential/of_E_M": (2.2, -0.4, 0.2, 0.6),
}
"""Parameters of a plausible law of each form that is a function of E_M and b."""

BS = (1, 5, 10, 15)
SEEDS = (42, 451, 1984)


def table_of_runs(
    form="saturating_power/of_E_M",
    truth=None,
    e_m=None,
    bs=BS,
    seeds=SEEDS,
    noise=0.05,
    rng=0,
):
    """Runs of a planted law, with Gaussian noise of so many bits."""
    generator = np.random.default_rng(rng)
    truth = TRUTH[form] if truth is None else truth
    rows = [
        {
            "size": size,
            "b": b,
            "seed": seed,
            "expressivity": float(FORMS[form](e_m_of_size, b, *truth)) + noise * generator.normal(),
        }
        for size, e_m_of_size in (e_m or E_M).items()
        for b in bs
        for seed in seeds
    ]
    return pd.DataFrame(rows)


def loop_curve(config, bits):
    """E after each loop of a model that reaches ``bits`` at its b and loses some of it beyond."""
    loops = np.arange(1, 51.0)
    approach = 0.3 + (bits - 0.3) * (1 - np.exp(-2.5 * (loops - 1) / max(config.b, 2)))
    approach *= bits / approach[config.b - 1]
    fall = 1.0 - np.exp(-0.1 * np.maximum(loops - config.b, 0))
    return np.minimum(approach, bits) - {"tiny": 0.2, "small": 0.5}.get(config.size, 1.0) * fall


def log_study(client, experiment_id, table, config=None, **tags):
    """Log each row as a finished training; return the ids of their runs."""
    return [
        log_training(
            client,
            experiment_id,
            replace(config or TrainConfig(), size=row["size"], b=int(row["b"]), seed=row["seed"]),
            row["expressivity"],
            **tags,
        )
        for row in table.to_dict("records")
    ]


def log_training(
    client, experiment_id, config, bits, status="FINISHED", n_loops=50, tail_bits=None, **tags
):
    """Log one run as the tracker does; ``tail_bits`` is E of the mean of its last weights."""
    config = config.resolved("cpu", "fp32")
    run = client.create_run(experiment_id, run_name=config.name)
    nmse = 2.0 ** (-2 * loop_curve(config, bits)[:n_loops])
    curves = {"nmse": nmse, "nmse_se": 0.02 * nmse, "nmse_median": 0.4 * nmse}
    if tail_bits is not None:
        tail_nmse = 2.0 ** (-2 * loop_curve(config, tail_bits)[:n_loops])
        curves |= {"tail_nmse": tail_nmse, "tail_nmse_se": 0.02 * tail_nmse}
        curves["tail_nmse_median"] = 0.4 * tail_nmse
    metrics = [
        Metric(f"loops/{name}", float(value), 1000, loop)
        for name, curve in curves.items()
        for loop, value in enumerate(curve, 1)
    ]
    metrics.append(Metric("extrapolation/prompts", 12_800, 1000, 0))
    all_tags = {
        "size": config.size, "b": config.b, "seed": config.seed, "task": config.task,
        "recipe": config.recipe_identity, "identity": config.identity, "looped.kind": "training",
        "plateau": "false", "convergence": "settled", **tags,
    }  # fmt: skip
    client.log_batch(
        run.info.run_id,
        metrics=metrics,
        params=[Param(f"resolved.{name}", str(value)) for name, value in asdict(config).items()],
        tags=[RunTag(name, str(value)) for name, value in all_tags.items()],
    )
    client.set_terminated(run.info.run_id, status)
    return run.info.run_id
