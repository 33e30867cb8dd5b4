"""Which claims a planned study can decide, as far as a pilot's runs tell.

The planned study is drawn from the pilot: each planned training is one of the pilot's runs of its
size, at its b or the nearest. Claims are then measured on it as a report does, and how their parts
scatter over seeds says what so many seeds can show. Trainings at a b, or of a recipe, that the
pilot has not tell a scatter and no effect.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from analysis.claims.by_seed import (
    BySeed,
    MissingRunsError,
    Parts,
    interval,
    mean,
    needs,
    standard_deviation,
)
from analysis.claims.cells import Cells
from analysis.claims.claim import Claim
from analysis.claims.claims import CLAIMS
from analysis.claims.findings import comparable_of_distinct
from analysis.claims.hypotheses import HYPOTHESES
from analysis.claims.pilot import Pilot, variant_of
from analysis.claims.power import (
    ENOUGH,
    ERROR,
    OTHER_WAY,
    chance_above,
    chances_of,
    least_distance,
    outlook_of,
    points_for,
)
from analysis.claims.treatments import TREATMENTS
from analysis.runs.logged_run import LoggedRun
from looped.config import TrainConfig
from looped.counting import counted

MOST_DRAWS = 2000
"""Runs drawn from a pilot for one task, about."""


def plan_reading(configs: Sequence[TrainConfig], n_loops: int, pilot: Pilot) -> str:
    """Say which claims a grid can decide, a line for each kind of answer.

    Args:
        configs: of one task, resolved.
        n_loops: to which its trainings are evaluated.
        pilot: runs of the same sizes.
    """
    known_sizes = {size for size, *_ in pilot.by_cell}
    unknown_sizes = sorted({config.size for config in configs} - known_sizes)
    configs = [config for config in configs if config.size in known_sizes]
    if not configs or pilot.n_seeds < 2:
        return "claims: which can be decided is not known without two finished seeds of a size"
    study = _PlannedStudy(configs, n_loops, pilot)
    prospects = {claim.slug: study.prospect(claim) for claim in (*CLAIMS, *HYPOTHESES)}
    of_treatments = {claim.slug: study.prospect(claim) for claim in study.treatments}
    prospects |= {slug: each for slug, each in of_treatments.items() if each.is_measured}
    header = f"claims, with {counted(study.n_seeds, 'seed')} a cell, in studies like the pilot"
    lines = [f"{header}, {pilot.account}{_difference(pilot, configs)}:"]
    if unknown_sizes:
        lines.append(f"  left out, as the pilot has none of it: {', '.join(unknown_sizes)}")
    width = max(map(len, prospects))
    lines += [
        f"  {slug:{width}}  {prospect.words}"
        for slug, prospect in prospects.items()
        if prospect.is_measured
    ]
    slugs_by_need: dict[str, list[str]] = {}
    for slug, prospect in prospects.items():
        if not prospect.is_measured:
            slugs_by_need.setdefault(prospect.words, []).append(slug)
    lines += [
        f"  not measured by this grid ({need}): {', '.join(slugs)}"
        for need, slugs in slugs_by_need.items()
    ]
    asked_hypotheses = [claim for claim in HYPOTHESES if prospects[claim.slug].is_measured]
    return "\n".join([*lines, *study.warnings(asked_hypotheses)])


def _difference(pilot: Pilot, configs: Sequence[TrainConfig]) -> str:
    """Say what sets a pilot apart, whose scatter may be another."""
    pilot_configs = [run.config for cell in pilot.by_cell.values() for run in cell.values()]
    tasks = {config.task_config for config in pilot_configs}
    recipes = {config.recipe_identity for config in pilot_configs}
    if not tasks & {config.task_config for config in configs}:
        return ", which are of another problem"
    has_recipe = recipes & {config.recipe_identity for config in configs}
    return "" if has_recipe else ", which are of another recipe"


class Prospect(NamedTuple):
    """What a planned study can say of a claim; where it measures none, what that needs."""

    is_measured: bool
    words: str


class _PlannedStudy:
    """A study of many seeds that is drawn from a pilot."""

    def __init__(self, configs: Sequence[TrainConfig], n_loops: int, pilot: Pilot) -> None:
        self.pilot, self.n_loops = pilot, n_loops
        self.n_seeds = len({config.seed for config in configs})
        self.cells = list({replace(config, seed=0): config for config in configs}.values())
        self.base = min(map(variant_of, self.cells), key=lambda variant: (variant[0], variant[1:]))
        self.borrowed: set[str] = set()
        policies = {repr(config.policy) for config in configs}
        self.treatments = TREATMENTS if len(policies) > 1 else ()
        drawn_runs = list(self._draw(np.random.default_rng(0)))
        self.comparables = {
            varies: comparable_of_distinct(drawn_runs, varies)[0]
            for varies in {claim.varies for claim in (*CLAIMS, *HYPOTHESES, *self.treatments)}
        }

    def prospect(self, claim: Claim) -> Prospect:
        """Say what the study can decide of a claim."""
        cells = self.comparables[claim.varies]
        try:
            parts = self._parts(cells, claim)
        except MissingRunsError as error:
            return Prospect(False, str(error))
        explained = self.explained(claim)
        if claim.premise is not None and explained is not None:
            chance_of_premise = chance_above(
                explained, claim.premise.least, np.array([self.n_seeds]), ERROR
            )
            if chance_of_premise[0] < ENOUGH:
                return Prospect(True, "left undecided: its premise is not shown, see the warning")
        if any(run.run_id in self.borrowed for run in cells.runs):
            return Prospect(True, self._reach_of(parts, claim))
        is_for = points_for(parts, claim)
        chances = chances_of(parts, claim, [self.n_seeds], explained)
        chance = (chances.support if is_for else chances.contradiction)[0]
        verdict = "supported" if is_for else "contradicted"
        words = f"{verdict} in {min(chance, 0.99):.0%} of them or more"
        if chance >= ENOUGH:
            return Prospect(True, words)
        if chance < 0.01:  # a bound that says nothing
            words = "may well stay undecided"
        as_planned = {name: _like(part, self.n_seeds) for name, part in parts.items()}
        if explained is not None:
            explained = _like(explained, self.n_seeds)
        outlook = outlook_of(as_planned, claim, explained).words
        is_said = not is_for and chance >= 0.01
        return Prospect(True, f"{words}; {outlook.removeprefix(OTHER_WAY) if is_said else outlook}")

    def _reach_of(self, parts: Parts, claim: Claim) -> str:
        """Say how far the truth must lie from the threshold, where the pilot tells no effect."""
        distance = least_distance(parts, claim, self.n_seeds)
        if math.isinf(distance):
            return "left undecided in most studies, wherever the truth lies: runs scatter too much"
        far = f"a factor of {4**distance:.4g}" if claim.ratio else f"{distance:.2g}"
        return (
            f"decided in {ENOUGH:.0%} of studies where the truth lies {far} or more from "
            f"{claim.threshold:.4g}; where it does lie the pilot cannot tell"
        )

    def explained(self, claim: Claim) -> BySeed | None:
        """Return what a hypothesis explains, as the pilot's seeds tell it; None where none do."""
        if claim.premise is None:
            return None
        try:
            bits = claim.premise.measure(self.comparables[claim.varies])
        except MissingRunsError:
            return None
        return _like(self._at_scale(bits), self.pilot.n_seeds) if bits else None

    def warnings(self, hypotheses: Sequence[Claim]) -> list[str]:
        """Say which hypotheses explain what the pilot does not show."""
        slugs_by_reason: dict[str, list[str]] = {}
        for claim in hypotheses:
            premise, explained = claim.premise, self.explained(claim)
            if premise is None or explained is None or interval(explained)[0] > premise.least:
                continue
            low, high = interval(explained)
            fails = high < premise.least
            words = premise.failing if fails else f"{premise.least:.4g} bits or more are not shown"
            reason = f"{words} ({mean(explained):.2g} bits [{low:.2g}, {high:.2g}])"
            slugs_by_reason.setdefault(reason, []).append(claim.slug)
        return [
            f"warning: in the pilot {reason}; unless the new runs show more, these stay undecided "
            f"whatever they cost: {', '.join(slugs)}"
            for reason, slugs in slugs_by_reason.items()
        ]

    def _parts(self, cells: Cells, claim: Claim) -> Parts:
        needs(cells.runs, "runs that learned and are evaluated")
        parts = {name: self._at_scale(part) for name, part in claim.measure(cells).items() if part}
        needs(parts, "runs of the same seed in the cells that it compares")
        return parts

    def _at_scale(self, part: BySeed) -> BySeed:
        """Widen what was drawn with replacement from few seeds to what those seeds tell."""
        widening, centre = math.sqrt(self.pilot.n_seeds / (self.pilot.n_seeds - 1)), mean(part)
        return {seed: centre + widening * (value - centre) for seed, value in part.items()}

    def _draw(self, generator: np.random.Generator) -> Iterator[LoggedRun]:
        """Draw the planned study with many seeds; what the pilot has keeps its seeds together."""
        seeds = sorted({seed for cell in self.pilot.by_cell.values() for seed in cell})
        blocks = min(max(MOST_DRAWS // (len(self.cells) * len(seeds)), 1), 20)
        sources = [self._source(config) for config in self.cells]
        for number, seed in enumerate(seeds * blocks):
            for index, (config, (cell, is_told)) in enumerate(
                zip(self.cells, sources, strict=True)
            ):
                is_exact = is_told and seed in cell
                cell_seeds = list(cell)
                chosen_seed = seed if is_exact else cell_seeds[generator.integers(len(cell_seeds))]
                run = replace(
                    cell[chosen_seed],
                    run_id=f"{number}-{index}",
                    config=replace(config, seed=number),
                )
                loops = {name: self._reach(curve, config.b) for name, curve in run.loops.items()}
                if not is_told or len(run.loops["nmse"]) < len(loops["nmse"]):
                    self.borrowed.add(run.run_id)
                yield replace(run, loops=loops)

    def _reach(self, curve: Sequence[float], b: int) -> Sequence[float]:
        """Cut a curve to the loops that are planned, or hold its last value up to them."""
        length = max(self.n_loops, b)
        return [*curve[:length], *[curve[-1]] * (length - len(curve))]

    def _source(self, config: TrainConfig) -> tuple[Mapping[int, LoggedRun], bool]:
        """Find the pilot's cell that is nearest, and whether it is that very cell.

        The pilot's most numerous steps and draw stand for the grid's base, if it lacks that.
        """
        of_size = [key for key in self.pilot.by_cell if key[0] == config.size]
        keys = [key for key in of_size if key[2:] == variant_of(config)]
        if not keys and variant_of(config) == self.base:
            counts = Counter(key[2:] for key in of_size)
            main = max(counts, key=lambda variant: (counts[variant], repr(variant)))
            keys = [key for key in of_size if key[2:] == main]
        nearest = min(
            keys or of_size,
            key=lambda key: (
                abs(math.log(key[1] / config.b)),
                abs(math.log(key[2] / config.steps)),
                key[3] != config.b_draw,
            ),
        )
        return self.pilot.by_cell[nearest], bool(keys) and nearest[1] == config.b


def _like(part: BySeed, n_seeds: int) -> BySeed:
    """Return so many numbers with the mean and the scatter of a part."""
    ramp = np.arange(n_seeds) - (n_seeds - 1) / 2
    scatter = standard_deviation(part) / (float(np.std(ramp, ddof=1)) if n_seeds > 1 else 1.0)
    return {seed: mean(part) + scatter * float(step) for seed, step in enumerate(ramp)}
