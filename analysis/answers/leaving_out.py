"""The joint law without each seed of each size: how surely two of its fits differ.

Fits that share runs, or prompts and initial weights by seed, err together. So their difference is
asked with each seed of each size left out of both at once (the delete-one jackknife). It holds what
seeds do, and not that sizes may lie off the law.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from analysis.answers import joint_checks, joint_law
from analysis.answers.joint_form import JointForm
from analysis.answers.joint_runs import read_joint_runs
from analysis.scaling.run_table import Floats

LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class WithoutSeeds:
    """Fits of a joint law, each without one seed of one size, sorted by both.

    Attributes:
        phi: of shape (clusters,).
        expected: bits of each cell, ordered as ``JointFit.cells``, of shape (clusters, C).
    """

    phi: Floats
    expected: Floats


def without_seeds(table: pd.DataFrame, fit: joint_law.JointFit, loss: str) -> WithoutSeeds:
    """Fit a law again without each seed of each size.

    Args:
        table: that it was fitted to, with ``size``.
        fit: to all of it.
        loss: by which.
    """
    joint_runs = read_joint_runs(table)
    form = JointForm(joint_runs.rows.iloc[joint_runs.firsts], joint_runs.with_steps)
    pairs = list(zip(joint_runs.rows["size"], joint_runs.rows["seed"], strict=True))
    masks = np.array([[pair != left_out for pair in pairs] for left_out in sorted(set(pairs))])
    theta = form.searched(fit.parameters["value"].to_numpy(float))
    thetas = joint_checks.refit(form, joint_law.observe(form, joint_runs), theta, masks, loss)
    phi = np.asarray(thetas[:, form.names.index("phi")])
    return WithoutSeeds(phi=phi, expected=np.asarray(form.model(thetas)[0]))


def degrees_of(table: pd.DataFrame) -> int:
    """Count the seeds of sizes less the sizes; 0 where a size has one seed."""
    counts = table.drop_duplicates(["size", "seed"])["size"].value_counts()
    return int(counts.sum()) - len(counts) if counts.min() > 1 else 0


def jackknifed(value: float, without: Floats, degrees: int) -> tuple[float, float, float]:
    """Return a number and the ends of its 95 % interval.

    Args:
        value: from all runs.
        without: from all but each cluster, of shape (clusters,).
        degrees: of freedom; see ``degrees_of``.
    """
    n = len(without)
    variance = np.square(without - without.mean()).sum() * (n - 1) / n
    half = float(stdtrit(degrees, (1 + LEVEL) / 2) * np.sqrt(variance))
    return float(value), float(value - half), float(value + half)
