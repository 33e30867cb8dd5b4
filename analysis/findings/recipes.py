"""The kept trainings by recipe: what is judged together, each with a letter to name it by."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import ascii_uppercase

from analysis.runs.journals import read_folder, with_tail
from analysis.runs.logged_run import LoggedRun
from analysis.runs.recipes import by_name, unusual_ways
from looped.names import Weights

TASK = "linear"
"""The study's own; what it says of others is told where they are (docs/tasks.md)."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Trainings that were made in one way, with one kind of weights.

    Attributes:
        letter: names it, with whichever weights.
        folder: of ``results``.
        weights: that its held-out errors are of, one of ``Weights``.
        runs: its trainings.
        tells_steps: whether only the steps tell it from another of its folder.
    """

    letter: str
    folder: str
    weights: str
    runs: Sequence[LoggedRun]
    tells_steps: bool = False

    @property
    def widest(self) -> LoggedRun:
        """A training of the largest b, whose windows tell most."""
        return max(self.runs, key=lambda run: run.config.b)

    @property
    def is_plain(self) -> bool:
        """Whether it is a study of b from 1 on, in whose way prompt and loss window may differ."""
        is_fixed = self.widest.config.b_draw == "fixed"
        starts_at_one = min(run.config.b for run in self.runs) == 1
        return is_fixed and starts_at_one and unusual_ways(self.runs) <= {"loss_window"}

    @property
    def sees_all_loops(self) -> bool:
        """Whether the loss sees all loops, as by default."""
        return "loss_window" not in unusual_ways(self.runs)

    @property
    def title(self) -> str:
        """Folder, and what tells the recipe from others of it."""
        steps = f", {self.widest.config.steps:,} steps" * self.tells_steps
        return f"{self.folder}, {self.way}{steps}"

    @property
    def way(self) -> str:
        """The prompt, and where they are no defaults windows and draw of b."""
        config = self.widest.config
        words = [config.prompt]
        windows = {name: config.policy[name] for name in ("loss_window", "grad_window")}
        words += [f"{name} {window}" for name, window in windows.items() if window != "all"]
        factor = config.policy["learning_rate_factor"]
        words += [f"{factor:g} times the rate"] * (factor != 1)
        words += [f"b drawn {config.b_draw}"] * (config.b_draw != "fixed")
        words += ["for each prompt"] * config.draws_by_prompt
        words += ["untied"] * config.is_untied
        return ", ".join(words)


@dataclass(frozen=True, kw_only=True)
class Study:
    """All trainings of a folder under one prompt, whatever else differs, for the hypotheses.

    Attributes:
        title: folder, task and prompt.
        weights: that its held-out errors are of, one of ``Weights``.
        runs: its trainings.
    """

    title: str
    weights: str
    runs: Sequence[LoggedRun]


def recipes_of(results: Path) -> list[Recipe]:
    """Group the kept trainings of the study's task by folder, recipe and weights, by their names.

    Args:
        results: holds folders of trainings, as ``results`` does.
    """
    recipes: list[Recipe] = []
    letters: dict[tuple[str, str, str], str] = {}
    for folder, weights, runs in _kept(results):
        for task in dict.fromkeys(run.task for run in runs):
            of_task = [run for run in runs if run.task == task]
            for name, group in sorted(by_name(of_task).items(), key=_place):
                letter = letters.setdefault((folder, task, name), _letter(len(letters)))
                recipe = Recipe(letter=letter, folder=folder, weights=weights, runs=group)
                recipes.append(recipe)
    counts = Counter((recipe.weights, recipe.title) for recipe in recipes)
    return [
        replace(recipe, tells_steps=counts[recipe.weights, recipe.title] > 1) for recipe in recipes
    ]


def distinct(recipes: Sequence[Recipe]) -> list[Recipe]:
    """Leave out recipes whose trainings another folder holds too."""
    of_trainings = {
        (recipe.weights, frozenset(run.config.identity for run in recipe.runs)): recipe
        for recipe in reversed(recipes)
    }
    return [recipe for recipe in recipes if recipe in of_trainings.values()]


def studies_of(results: Path) -> list[Study]:
    """Group the kept trainings by folder, weights, task and prompt."""
    studies = []
    for folder, weights, runs in _kept(results):
        for key in dict.fromkeys((run.task, run.config.prompt) for run in runs):
            of_key = [run for run in runs if (run.task, run.config.prompt) == key]
            title = f"{folder}, {key[0]}, {key[1]} prompt"
            studies.append(Study(title=title, weights=weights, runs=of_key))
    return studies


def _kept(results: Path) -> Iterator[tuple[str, str, list[LoggedRun]]]:
    """Read each folder, and once more with the averaged weights where all trainings have them."""
    folders = sorted({journal.parent.parent for journal in results.glob("*/*/journal.jsonl")})
    for folder in folders:
        runs = [run for run in read_folder(folder) if run.config.task == TASK]
        if not runs:
            continue
        yield folder.name, Weights.LAST, runs
        averaged_runs = [with_tail(folder / run.run_id, run) for run in runs]
        if all(averaged_runs):
            yield folder.name, Weights.TAIL, [run for run in averaged_runs if run is not None]


def _place(item: tuple[str, list[LoggedRun]]) -> tuple[str, str, int, str]:
    name, runs = item
    config = max(runs, key=lambda run: run.config.b).config
    return config.prompt, str(config.policy["loss_window"]), config.steps, name


def _letter(count: int) -> str:
    """Name the recipe that stands behind so many: A to Z, then AA.

    Example:
        >>> _letter(0), _letter(25), _letter(26)
        ('A', 'Z', 'AA')
    """
    first, last = divmod(count, len(ascii_uppercase))
    return (ascii_uppercase[first - 1] if first else "") + ascii_uppercase[last]
