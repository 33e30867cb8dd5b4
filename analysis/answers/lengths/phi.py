"""How phi moves with the length of training; see ``joint_law`` for phi.

The lengths share their runs, so that their phi err together: whether phi moved is asked of the
difference, by leaving out each seed of each size in turn from both ends at once (the delete-one
jackknife). As the intervals of a phi "if every size obeys it", it holds what seeds do and not that
sizes may lie off the law.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.answers import joint_law
from analysis.answers.leaving_out import degrees_of, jackknifed, without_seeds
from analysis.answers.lengths import online
from analysis.runs.logged_run import LoggedRun
from analysis.scaling.run_table import RunTableError

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
        degrees: of freedom of the interval of ``rise``.
    """

    table: pd.DataFrame
    rise: tuple[float, float, float] | None
    n_clusters: int
    degrees: int


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
    rows, phis_without = [], []
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
        phis_without.append(without_seeds(table, fit, loss).phi)
    by_length = pd.DataFrame(rows)
    degrees, rise = degrees_of(table), None
    if len(lengths) > 1 and degrees:
        difference = by_length["phi"].iloc[-1] - by_length["phi"].iloc[0]
        rise = jackknifed(difference, phis_without[-1] - phis_without[0], degrees)
    n_clusters = len(phis_without[-1])
    return PhiByLength(table=by_length, rise=rise, n_clusters=n_clusters, degrees=degrees)
