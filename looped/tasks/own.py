"""Tasks that are not of this package: a class of the user's own, read for what ``TaskKind`` says.

The class is ``looped.Task``'s child. It has a ``title``, may have ``settings`` and ``baselines``,
and a method ``bayes(xs, ys)`` where the best possible predictor is known.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from looped.plugins import loading
from looped.plugins.reference import Reference, is_reference
from looped.rules import require
from looped.tasks.kinds import TASK_KINDS, TaskKind
from looped.tasks.settings import TaskSetting

KIND = "tasks"
BAYES = "bayes"
"""Names the Bayes predictor of every task of one's own among its baselines."""

NEEDED = ("batch", "title", "settings", "baselines", "noise_variance")
RESERVED = (
    *("name", "n_dims", "settings", "kind", "title", "content", "word", "reference", "bayes"),
    *("dial", "arguments", "answers_to", "require_examples", "baselines_identity"),
    *("prompts_identity", "lack"),
)


def reference_of(word: str) -> Reference:
    """Find a task by reference or name, and say which source that is.

    Raises:
        ValueError: there is none, or it is no task.
    """
    installed = loading.names(KIND)
    rule = f"task must be one of {', '.join((*TASK_KINDS, *installed))}, or <file>.py:<Name>"
    require(word in installed or is_reference(word), rule, word)
    reference = loading.pin(KIND, word)
    kind_of(reference)
    return reference


def how_to_give(name: str) -> str:
    """Say how a task is given that is not found where it was."""
    way = f"give it as task=<folder>/<file>.py:{name}"
    return f"{way}, in Python by looped.register_task, or install its package"


def meant(word: str) -> Reference | None:
    """Say which task of one's own a word means, whether it is there; None for no such word."""
    try:
        return loading.reference_to(KIND, word)
    except ValueError:
        return None


def kind_of(reference: Reference) -> TaskKind:
    """Read what a task is from its class.

    Raises:
        ValueError: the class is not there, or lacks what a task must have.
    """
    name = reference.name
    try:
        part = loading.load(reference)
    except ValueError as error:
        raise ValueError(f"{error}; {how_to_give(name)}") from None
    is_task = isinstance(part, type) and all(hasattr(part, needed) for needed in NEEDED)
    require(is_task, f"{name} must be a class made from looped.Task", type(part).__name__)
    rule = f'{name} must have a title, as title = "quadratic regression"'
    require(isinstance(part.title, str) and bool(part.title.strip()), rule, repr(part.title))
    settings, baselines = part.settings, part.baselines
    is_list = isinstance(settings, Sequence)
    are_settings = is_list and all(isinstance(each, TaskSetting) for each in settings)
    require(are_settings, f"the settings of {name} must be TaskSettings in a tuple", settings)
    for each in settings:
        rule = f"a setting of {name} must not be named {each.name}, which tasks have already"
        is_new = each.name.isidentifier() and each.name not in RESERVED
        require(is_new and not hasattr(part, each.name), rule, each.name)
    rule = f"the baselines of {name} must be names or functions (xs, ys), one at least"
    is_list = isinstance(baselines, Sequence) and not isinstance(baselines, str)
    are_good = is_list and all(isinstance(each, str) or callable(each) for each in baselines)
    require(are_good and len(baselines) > 0, rule, baselines)
    names = [
        each if isinstance(each, str) else getattr(each, "__name__", "?") for each in baselines
    ]
    rule = f"the baselines of {name} must have plain names that differ, none of them {BAYES}"
    are_plain = all(word.isidentifier() and word != BAYES for word in names)
    require(are_plain and len(set(names)) == len(names), rule, ", ".join(names))
    bayes = getattr(part, BAYES, None)
    require(bayes is None or callable(bayes), f"{name}.bayes must be a method (xs, ys)", bayes)
    kind = TaskKind(
        title=part.title,
        settings=tuple(settings),
        baselines=(*names, *([BAYES] if bayes else [])),
        bayes=BAYES if bayes else None,
        reads_tables=bool(getattr(part, "reads_tables", False)),
    )
    try:
        kind.title.format(**{each.name: each.default for each in settings})
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        rule = f"the title of {name} must have none but its settings in braces"
        raise ValueError(f"{rule}, got {kind.title} ({type(error).__name__}: {error})") from None
    return kind


def completed(
    reference: Reference, settings: Mapping[str, Any], n_dims: int
) -> dict[str, int | float]:
    """Add the defaults to the settings of a task, and hold all to their rules.

    Raises:
        ValueError: the task has no such setting, or a rule is broken.
    """
    kind = kind_of(reference)
    for unknown in settings.keys() - set(kind.setting_names):
        listed = ", ".join(kind.setting_names) or "none"
        raise ValueError(f"settings of {reference.name} must be among {listed}, got {unknown}")
    values = {}
    for declared in kind.settings:
        value = settings.get(declared.name, declared.default)
        if isinstance(declared.default, float) and isinstance(value, int):
            value = float(value)
        declared.check(declared.name, value, n_dims)
        values[declared.name] = value
    return values


def read_options(text: str | None) -> dict[str, int | float]:
    """Read settings from a text.

    Raises:
        ValueError: it is none of settings with their values.

    Example:
        >>> read_options("scale=2,width=0.5")
        {'scale': 2, 'width': 0.5}
    """
    values: dict[str, int | float] = {}
    for part in text.split(",") if text else ():
        name, _, word = part.strip().partition("=")
        require(name not in values, "task_options must have a setting once", text)
        values[name] = _number(word, text)
    return values


def write_options(settings: Mapping[str, int | float]) -> str | None:
    """Write settings as ``read_options`` reads them; None where there are none."""
    return ",".join(f"{name}={_plain(value)}" for name, value in settings.items()) or None


def crossed(options: Sequence[str | None]) -> tuple[str | None, ...]:
    """Cross the values of settings: one that is given several times is a list.

    Example:
        >>> crossed(("scale=1", "scale=2", "width=3"))
        ('scale=1,width=3', 'scale=2,width=3')
    """
    values: dict[str, list[str]] = {}
    for option in options:
        for part in option.split(",") if option else ():
            name, _, word = part.strip().partition("=")
            values.setdefault(name, []).append(word)
    combinations = product(*(dict.fromkeys(words) for words in values.values()))
    pairs = [zip(values, combination, strict=True) for combination in combinations]
    return tuple(",".join("=".join(pair) for pair in each) or None for each in pairs)


def _number(word: str, text: str | None) -> int | float:
    try:
        number = float(word)
    except ValueError:
        number = math.nan
    rule = "task_options must be settings with numbers, as scale=2,width=0.5"
    require(math.isfinite(number), rule, text)
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _plain(value: int | float) -> str:
    return repr(int(value) if isinstance(value, float) and value.is_integer() else value)
