"""Runs by recipe, where a run may be of several.

What a setting decides nothing in is the same training under each of its values: a window of 15 at
b = 10 is all loops, an untied model of b = 1 is the looped one, a fixed b is drawn neither by step
nor by prompt. Such a run stands in every recipe that would have trained it.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence

from analysis.runs.logged_run import LoggedRun
from looped.config import TrainConfig

Group = tuple[Hashable, ...]

USUAL = TrainConfig()


def by_recipe(
    runs: Iterable[LoggedRun], varies: Sequence[str] = ()
) -> Mapping[Group, list[LoggedRun]]:
    """Group runs by recipe.

    Args:
        runs: of any.
        varies: settings in which the runs of a group may differ.

    Returns:
        Groups, the runs that no other recipe would have trained first in each.
    """
    runs_of_group: dict[Group, list[LoggedRun]] = {}
    for run in runs:
        runs_of_group.setdefault(_group(run, varies), []).append(run)
    groups = {group: list(own_runs) for group, own_runs in runs_of_group.items()}
    for group, own_runs in runs_of_group.items():
        policy = {
            name: value for name, value in own_runs[0].config.policy.items() if name not in varies
        }
        for other_group, other_runs in runs_of_group.items():
            if other_group != group and other_group[0] == group[0]:
                groups[group] += [run for run in other_runs if run.config.follows(policy)]
    return groups


def by_name(runs: Iterable[LoggedRun]) -> dict[str, list[LoggedRun]]:
    """Group runs by the name of their recipe; of two groups of one name the larger holds both."""
    groups: dict[str, list[LoggedRun]] = {}
    for group in sorted(by_recipe(runs).values(), key=len):
        groups[name_of(group)] = group
    return groups


def unusual_ways(runs: Sequence[LoggedRun]) -> frozenset[str]:
    """Name the ways of training in which a group of ``by_recipe`` departs from the defaults."""
    policy = max(runs, key=lambda run: run.config.b).config.policy
    return frozenset(name for name, word in USUAL.policy.items() if policy[name] != word)


def departures(runs: Sequence[LoggedRun]) -> int:
    """Count the ways of training in which a group of ``by_recipe`` departs from the defaults."""
    return len(unusual_ways(runs))


def name_of(runs: Sequence[LoggedRun]) -> str:
    """Name the recipe of a group of ``by_recipe`` as its run with the largest b does.

    Where b is small a recipe's windows may take in all loops, as many another's do.
    """
    return max(runs, key=lambda run: run.config.b).config.recipe_identity


def _group(run: LoggedRun, varies: Sequence[str]) -> Group:
    base, policy = run.config.base_recipe, run.config.policy
    parts = (
        tuple((name, repr(part[name])) for name in sorted(part) if name not in varies)
        for part in (base, policy)
    )
    return tuple(parts)
