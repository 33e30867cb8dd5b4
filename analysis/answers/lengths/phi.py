"""How phi moves with the length of training; see ``joint_law`` for phi.

The lengths share their runs, so that their phi err together: whether phi moved is asked of the
difference, by leaving out each seed of each size in turn from both ends at once (the delete-one
jackknife). As the intervals of a phi "if every size obeys it", it holds what seeds do and not that
sizes may lie off the law.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from analysis.answers import joint_checks, joint_law
from analysis.answers.joint_form import JointForm
from analysis.answers.joint_runs import read_joint_runs
from analysis.answers.lengths import online
from analysis.runs.logged_run import LoggedRun
from analysis.scaling.run_table import Floats, RunTableError

LEVEL = 0.95
MANY_SIZES = 12
"""With more sizes phi is fitted at the full length alone: a fit leaves out each size in turn."""


@dataclass(frozen=True, kw_only=True)
class PhiByLength:
    """The joint law fitted to what trainings of several lengths reached.

    Attributes:
        table: a row per length: ``steps``, ``phi``, ``lower`` and ``upper`` (sizes may lie off the
            law), ``lower_runs`` and ``upper_runs`` (if every size obeys it), ``n_runs``,
            ``lack_of_fit`` and ``at_bound``.
        rise: phi at the longest less phi at the shortest, and the ends of its 95 % interval; None
            with one length or with a size that has one seed.
        n_clusters: seeds of sizes that were left out in turn.
    """

    table: pd.DataFrame
    rise: tuple[float, float, float] | None
    n_clusters: int


def phi_by_length(
    runs: Sequence[LoggedRun], resamples: int = 1000, loss: str = "huber"
) -> PhiByLength | str:
    """Fit the joint law at every halving of the training, or say why there is none.

    Args:
        runs: of one recipe, with their training curves.
        resamples: of the bootstrap at each length.
        loss: as in ``fit_joint``.
    """
    lengths = online.halvings(runs)
    if len({run.config.size for run in runs}) > MANY_SIZES:
        lengths = lengths[-1:]
    if not lengths:
        return "no length of training is in every run's curve"
    rows, thetas_without = [], []
    for steps in lengths:
        table = online.tabulate(runs, [steps])
        try:
            fit = joint_law.fit_joint(table, loss=loss, resamples=resamples)
        except RunTableError as error:
            return str(error)
        row = fit.parameters.set_index("name").loc["phi"]
        ends = {name: float(row[name]) for name in ("lower", "upper", "lower_runs", "upper_runs")}
        rows.append(
            {"steps": steps, "phi": float(row["value"])}
            | ends
            | {
                "n_runs": fit.n_runs,
                "lack_of_fit": fit.lack_of_fit,
                "at_bound": bool(row["at_bound"]),
            }
        )
        thetas_without.append(_phi_without_seeds(table, fit, loss))
    by_length = pd.DataFrame(rows)
    with_curves = filter(online.has_lengths, runs)
    seeds_of_sizes = {(run.config.size, run.config.seed) for run in with_curves}
    counts = pd.Series([size for size, _ in seeds_of_sizes]).value_counts()
    rise = None
    if len(lengths) > 1 and counts.min() > 1:
        rise = _jackknifed(
            by_length["phi"].iloc[-1] - by_length["phi"].iloc[0],
            thetas_without[-1] - thetas_without[0],
            degrees=len(seeds_of_sizes) - len(counts),
        )
    return PhiByLength(table=by_length, rise=rise, n_clusters=len(seeds_of_sizes))


def _phi_without_seeds(table: pd.DataFrame, fit: joint_law.JointFit, loss: str) -> Floats:
    """Fit phi without each seed of each size, sorted by both, of shape (clusters,)."""
    joint_runs = read_joint_runs(table)
    form = JointForm(joint_runs.rows.iloc[joint_runs.firsts], joint_runs.with_steps)
    pairs = list(zip(joint_runs.rows["size"], joint_runs.rows["seed"], strict=True))
    masks = np.array([[pair != left_out for pair in pairs] for left_out in sorted(set(pairs))])
    theta = form.searched(fit.parameters["value"].to_numpy(float))
    thetas = joint_checks.refit(form, joint_law.observe(form, joint_runs), theta, masks, loss)
    return np.asarray(thetas[:, form.names.index("phi")])


def _jackknifed(value: float, without: Floats, degrees: int) -> tuple[float, float, float]:
    n = len(without)
    variance = np.square(without - without.mean()).sum() * (n - 1) / n
    half = float(stats.t.ppf((1 + LEVEL) / 2, degrees) * np.sqrt(variance))
    return float(value), float(value - half), float(value + half)
