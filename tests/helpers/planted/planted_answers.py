"""Runs of a planted law in two lengths of training, as they are read from a store."""

import planted_study
from planted_study import loop_curve

from analysis.runs.logged_run import LoggedRun
from looped.config import TrainConfig


def logged_run(config, bits):
    """Make a run as it is read from a store."""
    nmse = 2.0 ** (-2 * loop_curve(config, bits))
    loops = {"nmse": list(nmse), "nmse_se": list(0.02 * nmse), "nmse_median": list(0.4 * nmse)}
    return LoggedRun(
        run_id=config.identity,
        name=config.name,
        config=config,
        tags={"plateau": "false", "convergence": "settled"},
        loops=loops,
        prompts=12_800,
    )


def two_lengths():
    """The shorter trainings are half a bit worse."""
    table = planted_study.table_of_runs(noise=0.03, seeds=(1, 2))
    return [
        logged_run(
            TrainConfig(size=row["size"], b=row["b"], seed=row["seed"], steps=steps),
            row["expressivity"] - worse,
        )
        for row in table.to_dict("records")
        for steps, worse in ((7500, 0), (1500, 0.5))
    ]
