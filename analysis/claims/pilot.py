"""Runs that tell how the trainings of a planned study will scatter."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from analysis.claims.findings import comparable
from analysis.runs.logged_run import LoggedRun
from looped.config import TrainConfig
from looped.counting import counted

Variant = tuple[int, str, str]
"""What studies vary: steps, draw, and the policy in words."""


@dataclass(frozen=True)
class Pilot:
    """Runs that tell how trainings scatter.

    Attributes:
        runs: finished ones; those that did not learn or are not evaluated do not count.
        source: where they are, in words.
    """

    runs: Sequence[LoggedRun]
    source: str

    @cached_property
    def by_cell(self) -> dict[tuple[str, int, *Variant], dict[int, LoggedRun]]:
        """The runs of one recipe, but for steps and draw, by size, b, variant and seed."""
        cells: dict[tuple[str, int, *Variant], dict[int, LoggedRun]] = {}
        for run in comparable(self.runs, ("steps", "b_draw"))[0].runs:
            config = run.config
            key = config.size, config.b, *variant_of(config)
            cells.setdefault(key, {})[config.seed] = run
        return cells

    @property
    def n_seeds(self) -> int:
        """The most seeds that a cell has."""
        return max(map(len, self.by_cell.values()), default=0)

    @property
    def account(self) -> str:
        """Say which runs these are."""
        runs = [run for cell in self.by_cell.values() for run in cell.values()]
        steps = sorted({run.config.steps for run in runs})
        tasks = ", ".join(sorted({run.task for run in runs}))
        lengths = ", ".join(f"{each:,}" for each in steps)
        return (
            f"{counted(len(runs), 'finished run')} in {self.source} ({tasks}, {lengths} steps, "
            f"{counted(self.n_seeds, 'seed')} a cell)"
        )


def variant_of(config: TrainConfig) -> Variant:
    """Return what sets a training's study apart from others of its recipe."""
    return config.steps, config.b_draw, repr(sorted(config.policy.items()))
