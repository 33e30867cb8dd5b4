"""What follows from the law of some runs: the joint law, exchange rates, costs, curves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice

import pandas as pd

from analysis.answers import costs, exchange, joint_law
from analysis.answers.exchange import CostRatio, Crossing
from analysis.answers.flops import KINDS, length_of
from analysis.answers.joint_law import JointFit
from analysis.answers.lengths.lengths import Lengths, read_lengths
from analysis.answers.loops import loop_curves
from analysis.answers.loops.loop_law import LoopLawFit, fit_loop_law
from analysis.runs.expressivity import cells, expressivity
from analysis.runs.logged_run import LoggedRun
from analysis.runs.selection import Selection, tabulate_runs
from analysis.scaling.fit import ScalingFit
from analysis.scaling.run_table import RunTableError

MOST_CURVES = 40
"""Seeds of a cell whose curves over loops are fitted one by one: more tell no more of the cell."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """A fitted law with what follows from it.

    Attributes:
        selection: the runs, and what was left out.
        fit: the law over trained b.
        cells: expressivity of each (size, b), with its standard errors.
        joint: the joint law of size and loops, or why there is none.
        n_without_mean: runs of other lengths that it leaves out, since E is taken from the mean of
            the last weights and they hold none.
        exchange: by (size, target), the b that lifts one to the other's b = 1.
        exchange_flops: by (size, target), what that takes of the other's FLOPs, by kind.
        worthwhile: by size, the b after which a loop gains less than 0.01 bits.
        costs: what each (size, b) costs and is predicted to reach; see ``costs.costs``.
        doublings: what a doubling of the FLOPs buys; see ``costs.doublings``.
        lengths: training length as an axis, or why the curves do not tell.
        curves: of each run, over evaluated loops; see ``loop_curves.fit_curves``.
        loop_law: one law of all curves over evaluated loops, or why there is none.
    """

    selection: Selection
    fit: ScalingFit
    cells: pd.DataFrame
    joint: JointFit | str
    n_without_mean: int
    exchange: Mapping[tuple[str, str], Crossing]
    exchange_flops: Mapping[tuple[str, str], Mapping[str, CostRatio]]
    worthwhile: Mapping[str, Crossing]
    costs: pd.DataFrame
    doublings: pd.DataFrame
    lengths: Lengths | str
    curves: pd.DataFrame
    loop_law: LoopLawFit | str

    @property
    def length(self) -> str:
        """How long the trainings are that costs are of, as ``7,500 steps``."""
        return length_of(self.selection.runs)

    @property
    def bayes(self) -> float | None:
        """Expressivity of the Bayes predictor in bits, the mean over runs; None if unknown."""
        table = self.selection.table
        return float(table["bayes"].mean()) if "bayes" in table else None


def answer(
    selection: Selection,
    fit: ScalingFit,
    runs: Sequence[LoggedRun],
    resamples: int,
    runs_without_mean: Sequence[LoggedRun] = (),
) -> Answers:
    """Answer what a fitted law lets one ask.

    Args:
        selection: the runs that the law was fitted to; with their training curves where shorter
            trainings are asked for too.
        fit: the law.
        runs: all there are; those of other training lengths go into the joint law as well.
        resamples: of the joint law's bootstrap.
        runs_without_mean: those that are not among ``runs``, since they hold no mean of their last
            weights where E is taken from that.
    """
    sizes = fit.run_table.sizes
    configs_there = {run.config.size: run.config for run in selection.runs}
    configs = {size: configs_there[size] for size in sizes}
    bs = range(1, 2 * int(fit.run_table.bs[-1]) + 1)
    pairs = [(low, high) for j, high in enumerate(sizes) for low in sizes[:j]]
    crossings = {pair: exchange.exchange_rate(fit, *pair) for pair in pairs}
    return Answers(
        selection=selection,
        fit=fit,
        cells=cells(selection.table),
        joint=_joint(selection, runs, resamples),
        n_without_mean=len(_of_other_lengths(selection, runs_without_mean)),
        exchange=crossings,
        exchange_flops={
            (low, high): {
                kind: exchange.cost_ratio(crossing, configs[low], configs[high], kind)
                for kind in KINDS
            }
            for (low, high), crossing in crossings.items()
        },
        worthwhile={size: exchange.last_worthwhile(fit, size) for size in sizes},
        costs=costs.costs(fit, configs, bs),
        doublings=costs.doublings(fit, configs),
        lengths=read_lengths(selection.runs, resamples),
        curves=curves_of(selection.runs, sizes),
        loop_law=fit_loop_law(selection.runs),
    )


def curves_of(runs: Sequence[LoggedRun], sizes: Sequence[str]) -> pd.DataFrame:
    """Fit each run's curve over evaluated loops.

    Args:
        runs: those to fit; of a cell the first ``MOST_CURVES`` seeds.
        sizes: in the order that they are to come in.

    Returns:
        ``loop_curves.fit_curves`` with ``run_id``, ``size``, ``b`` and ``seed`` beside it.
    """
    runs = sorted(runs, key=lambda r: (sizes.index(r.config.size), r.config.b, r.config.seed))
    cells = groupby(runs, key=lambda run: (run.config.size, run.config.b))
    runs = [run for _, runs_of_cell in cells for run in islice(runs_of_cell, MOST_CURVES)]
    curves = [expressivity(run.loops["nmse"]) for run in runs]
    fitted_curves = loop_curves.fit_curves(
        [list(curve) for curve in curves], [r.config.b for r in runs]
    )
    identities = pd.DataFrame(
        {
            "run_id": [run.run_id for run in runs],
            "size": [run.config.size for run in runs],
            "b": [run.config.b for run in runs],
            "seed": [run.config.seed for run in runs],
        }
    )
    return pd.concat([identities, fitted_curves], axis=1)


def shown_curves(answers: Answers) -> dict[tuple[str, int], list[float]]:
    """Return E after every loop of the first seed of each (size, b), sizes as in the law."""
    by_cell: dict[tuple[str, int], list[float]] = {}
    order = {size: index for index, size in enumerate(answers.fit.run_table.sizes)}
    runs = sorted(
        answers.selection.runs,
        key=lambda run: (order[run.config.size], run.config.b, run.config.seed),
    )
    for run in runs:
        curve = [float(value) for value in expressivity(run.loops["nmse"])]
        by_cell.setdefault((run.config.size, run.config.b), curve)
    return by_cell


def _joint(selection: Selection, runs: Sequence[LoggedRun], resamples: int) -> JointFit | str:
    """Fit the joint law to the chosen runs and those that differ from them in steps alone."""
    table = tabulate_runs([*selection.runs, *_of_other_lengths(selection, runs)], {})
    try:
        return joint_law.fit_joint(table, resamples=resamples)
    except RunTableError as error:
        return str(error)


def _of_other_lengths(selection: Selection, runs: Sequence[LoggedRun]) -> list[LoggedRun]:
    """Find the runs that differ from the chosen ones in their steps alone, one of each identity."""
    kinds = {_but_for_steps(run) for run in selection.runs}
    sizes = {run.config.size for run in selection.runs}
    steps = {run.config.steps for run in selection.runs}
    by_identity = {
        run.config.identity: run
        for run in runs
        if run.is_evaluated
        and run.has_learned
        and run.config.steps not in steps
        and run.config.size in sizes
        and _but_for_steps(run) in kinds
    }
    return list(by_identity.values())


def _but_for_steps(run: LoggedRun) -> tuple[str, str]:
    return run.task, replace(run.config, steps=0).recipe_identity
