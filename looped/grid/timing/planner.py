"""Plans what is left of a grid: who trains beside whom, how fast, what a budget leaves out."""

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import replace
from functools import partial

from looped.config import TrainConfig
from looped.grid.engines.engine import Engine
from looped.grid.options import GridOptions, RunOptions
from looped.grid.records.standing import LEFT_OUT, Standing
from looped.grid.timing.plan import Plan, Speeds


class Planner:
    """Plans parts of a grid, and measures once how fast its sizes train here.

    Args:
        engine: trains them, and says which train together and how many of these at once.
        options: how to work through the grid.
        run_options: how to train and evaluate each training.
        standings: how far each is, by identity; what a budget leaves out is written into them.
        after: by identity those that begin only where another one ends.

    Attributes:
        speeds: as measured; empty before.
    """

    def __init__(
        self,
        engine: Engine,
        options: GridOptions,
        run_options: RunOptions,
        standings: MutableMapping[str, Standing],
        after: Mapping[str, str],
    ) -> None:
        self._engine, self._options, self._run_options = engine, options, run_options
        self._standings, self._after = standings, after
        self.speeds: Speeds = {}

    def plan(self, to_train: Sequence[TrainConfig], n_threads: int) -> Plan:
        """Say which of the trainings train together, and how."""
        groups = self._engine.groups(to_train, self._options.replicas)
        return Plan(
            groups=groups,
            standings=self._standings,
            b_max=self._run_options.loops_to_evaluate,
            n_prompts=self._run_options.n_prompts,
            n_workers=self._engine.at_once(groups, n_threads),
            n_threads=n_threads,
            after=self._after,
        )

    def measure(self, plan: Plan) -> Speeds:
        """Measure how fast the sizes train, unless that is known."""
        if not self.speeds:
            from looped.grid.timing.speeds import measured_speeds

            self.speeds = measured_speeds(plan)
        return self.speeds

    def keep_budget(
        self, to_train: list[TrainConfig], n_threads: int
    ) -> tuple[list[TrainConfig], list[str]]:
        """Leave out what the budget does not hold, if there is one; say what that is in lines.

        Raises:
            BudgetError: it does not hold the shortest training.
        """
        budget = self._options.budget
        if budget is None or not to_train:
            return to_train, []
        from looped.grid.timing.budget import fit_budget

        speeds = self.measure(self.plan(to_train, n_threads))
        choice = fit_budget(to_train, partial(self.plan, n_threads=n_threads), speeds, budget)
        reason = f"does not fit into the budget of {budget}"
        for config in choice.left_out:
            standing = self._standings[config.identity]
            self._standings[config.identity] = replace(standing, state=LEFT_OUT, reason=reason)
        return list(choice.to_train), list(choice.lines)
