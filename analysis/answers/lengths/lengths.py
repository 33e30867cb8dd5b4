"""What a study's own training curves say of shorter trainings: phi, budgets, equal FLOPs."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from analysis.answers.lengths import equal_flops, online, phi, stretch
from analysis.answers.lengths.phi import PhiByLength
from analysis.runs.logged_run import LoggedRun

PARTS = 4
MANY_RUNS = 2_000
"""Reading the curves of more would take longer than all else."""


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """Training length as an axis.

    Attributes:
        curves: what was reached at ``PARTS`` lengths to a halving; see ``online.tabulate``.
        budgets: what was reached at each budget of FLOPs; see ``equal_flops.at_budgets``.
        best: the best b of each size and budget; see ``equal_flops.best_by_budget``.
        pairs: each b beside each larger b at equal FLOPs; see ``equal_flops.compare``.
        shapes: whether curves of larger b differ by a factor; see ``stretch.differences``.
        phi: how phi moves with the length, or why that is not known.
    """

    curves: pd.DataFrame = field(default_factory=pd.DataFrame)
    budgets: pd.DataFrame = field(default_factory=pd.DataFrame)
    best: pd.DataFrame = field(default_factory=pd.DataFrame)
    pairs: pd.DataFrame = field(default_factory=pd.DataFrame)
    shapes: pd.DataFrame = field(default_factory=pd.DataFrame)
    phi: PhiByLength | str

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """All of them, by the name of their file."""
        tables = {
            "length_curves": self.curves,
            "length_budgets": self.best,
            "length_pairs": self.pairs,
            "length_shapes": self.shapes,
        }
        if isinstance(self.phi, PhiByLength):
            tables["length_phi"] = self.phi.table
        return tables


def read_lengths(runs: Sequence[LoggedRun], resamples: int = 1000) -> Lengths | str:
    """Ask the training curves of runs, or say why they do not tell.

    Args:
        runs: of one recipe, those that learned, with their training curves.
        resamples: of the joint law's bootstrap at each length.
    """
    if len(runs) > MANY_RUNS:
        return f"asked of {MANY_RUNS:,} trainings or fewer, got {len(runs):,}"
    with_curves = sorted(filter(online.has_lengths, runs), key=_place)
    if not with_curves:
        return "no training at one b has its curve here"
    budgets = equal_flops.at_budgets(with_curves, equal_flops.budgets(with_curves))
    if not len(budgets):
        return f"a curve must hold {online.LEAST_SAMPLES} samples or more after the warm-up"
    return Lengths(
        curves=online.tabulate(with_curves, online.halvings(with_curves, PARTS)),
        budgets=budgets,
        best=equal_flops.best_by_budget(budgets, with_curves),
        pairs=equal_flops.compare(with_curves),
        shapes=stretch.differences(with_curves),
        phi=phi.phi_by_length(with_curves, resamples),
    )


def _place(run: LoggedRun) -> tuple[int, str, int, int]:
    config = run.config
    return config.model_config.n_params(), config.size, config.b, config.seed
