"""Which finished runs tell how the trainings of a grid to come will scatter."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from analysis.runs import load
from analysis.runs.journals import read_folder
from analysis.runs.logged_run import LoggedRun
from looped.config import TrainConfig
from looped.names import Tag
from looped.tracking.stores.store import Store

MOST_OF_A_SIZE = 40
"""Runs that are read of one size: enough to know its scatter, and read in seconds."""


def find_pilot(
    configs: Sequence[TrainConfig], store: Store | None, runs_dir: Path, kept_dir: Path
) -> tuple[list[LoggedRun], str]:
    """Find runs of the sizes of a grid: of its task in the store, or else those that are kept.

    Args:
        configs: of one task, resolved.
        store: where finished runs are; None: in the journals of ``runs_dir``.
        runs_dir: folder of all runs.
        kept_dir: folder of folders of journals, as ``results``.

    Returns:
        The runs of the place that has two seeds of most of the sizes, rather of the grid's task
        than of others, and what that place is; of the store, rather runs of the grid's own recipes.
    """
    if store:
        recipes = {config.recipe_identity for config in configs}
        places = [(_in_store(configs, store, recipes), "the store")]
        if _n_known_sizes(places[0][0], configs) < len({config.size for config in configs}):
            places.append((_in_store(configs, store, None), "the store"))
    else:
        places = [(_of_task(read_folder(runs_dir), configs), str(runs_dir))]
    for folder in sorted(path for path in kept_dir.glob("*") if path.is_dir()):
        runs = read_folder(folder)
        places.append((_of_task(runs, configs) or runs, f"{kept_dir.name}/{folder.name}"))

    def worth(place: tuple[list[LoggedRun], str]) -> tuple[int, bool]:
        return _n_known_sizes(place[0], configs), place[0] == _of_task(place[0], configs)

    return max(places, key=worth)


def _in_store(
    configs: Sequence[TrainConfig], store: Store, recipes: Collection[str] | None
) -> list[LoggedRun]:
    """Read runs of the grid's task and sizes, and of these recipes; None means of any."""
    task, sizes = configs[0].task_config.word, {config.size for config in configs}
    counts: Counter[str] = Counter()

    def is_wanted(tags: Mapping[str, str]) -> bool:
        size = tags.get(Tag.SIZE, "")
        is_of_recipe = recipes is None or tags.get(Tag.RECIPE) in recipes
        is_of_grid = tags.get(Tag.TASK) == task and size in sizes and is_of_recipe
        counts[size] += is_of_grid
        return is_of_grid and counts[size] <= MOST_OF_A_SIZE

    runs = load.read_runs(*store, with_training=True, is_wanted=is_wanted)
    return _of_task(runs, configs)


def _of_task(runs: Sequence[LoggedRun], configs: Sequence[TrainConfig]) -> list[LoggedRun]:
    task = configs[0].task_config
    return [run for run in runs if run.config.task_config == task]


def _n_known_sizes(runs: Sequence[LoggedRun], configs: Sequence[TrainConfig]) -> int:
    """Count the sizes of the grid of which a cell has two seeds that learned."""
    sizes = {config.size for config in configs}
    learned_runs = [
        run for run in runs if run.config.size in sizes and run.has_learned and run.loops
    ]
    seeds: dict[tuple[str, int, str], set[int]] = {}
    for run in learned_runs:
        key = run.config.size, run.config.b, run.config.recipe_identity
        seeds.setdefault(key, set()).add(run.config.seed)
    return len({size for (size, _, _), of_cell in seeds.items() if len(of_cell) > 1})
