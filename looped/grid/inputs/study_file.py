"""A study of the user's own: a TOML file with the settings of the grid command, by their names."""

import tomllib
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from looped.grid.inputs.input_file import InputFile, read_input
from looped.grid.studies import FILE_ENDING
from looped.rules import require, shortened

STUDY, CELLS, AUTO = "study", "cells", "auto"


def study_files(studies: str) -> list[InputFile]:
    """Read those of the studies, with a comma between two, that are files.

    Raises:
        ValueError: one cannot be read.
    """
    names = [name for name in studies.split(",") if name.endswith(FILE_ENDING)]
    return [read_input(STUDY, name) for name in names]


def read_study(file: InputFile, names: Collection[str]) -> dict[str, str]:
    r"""Read what a study sets, as the command line writes it.

    Args:
        file: the study.
        names: of the settings that a study may set.

    Returns:
        By the name of a setting its words. A path of a table of cells is taken from the study's
        own folder.

    Raises:
        ValueError: it is no TOML, or a setting is unknown or no value.

    Example:
        >>> text = 'sizes = ["tiny", "small"]\\nsteps = 500\\nregister = false\\n'
        >>> read_study(InputFile("my.toml", text), ["sizes", "steps", "register"])
        {'sizes': 'tiny,small', 'steps': '500', 'register': 'false'}
    """
    try:
        content = tomllib.loads(file.text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ValueError(f"{file.name} must be TOML, got: {shortened(str(error))}") from None
    settings = {}
    for name, value in content.items():
        near = get_close_matches(name, names, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        rule = f"{file.name} must set what a grid trains, of {', '.join(names)}"
        require(name in names, rule, f"{shortened(name)}{hint}")
        settings[name] = _words(file, name, value)
    cells = settings.get(CELLS, AUTO)
    if cells != AUTO and not cells.startswith("~"):
        settings[CELLS] = str(Path(file.given_path).parent / cells)
    return settings


def with_studies(
    words: Sequence[str], files: Sequence[InputFile], names: Collection[str]
) -> list[str]:
    """Put what study files set into a command line, where it leaves that open.

    Args:
        words: of the command line, as ``--steps 500`` or ``--steps=500``.
        files: the studies.
        names: of the settings that a study may set.

    Returns:
        The words of the files, then those of the command line, which so stand against them. A
        study that a file begins with is put before the others.

    Raises:
        ValueError: a file is no study, or two set the same.
    """
    if not files:
        return list(words)
    settings: dict[str, str] = {}
    begun_with: list[str] = []
    for file in files:
        for name, text in read_study(file, names).items():
            if name == STUDY:
                rule = f"{file.name} must begin with a ready study"
                require(FILE_ENDING not in text, rule, shortened(text))
                begun_with.append(text)
                continue
            rule = "two study files must not set the same"
            require(name not in settings, rule, f"{name} in both")
            settings[name] = text
    given_words = dict(_pairs(words))
    kept_words = [
        word
        for name, value in given_words.items()
        for word in (f"--{name}", value)
        if name not in settings or value != AUTO
    ]
    if begun_with:
        kept_words += ["--study", ",".join([*begun_with, given_words[STUDY]])]
    return [word for name, text in settings.items() for word in (f"--{name}", text)] + kept_words


def given_studies(words: Sequence[str]) -> str:
    """Say which studies a command line names; nothing where it names none."""
    return dict(_pairs(words)).get(STUDY, "")


def _pairs(words: Sequence[str]) -> list[tuple[str, str]]:
    """Read a command line whose every option has a value, as far as it is one."""
    pairs: list[tuple[str, str]] = []
    rest = list(words)
    while rest:
        name, is_joined, value = rest.pop(0).removeprefix("--").partition("=")
        if not is_joined and rest:
            value = rest.pop(0)
        pairs.append((name, value))
    return pairs


def _words(file: InputFile, name: str, value: Any) -> str:
    items = value if isinstance(value, list) else [value]
    words = [str(item).lower() if isinstance(item, bool) else str(item) for item in items]
    is_plain = bool(items) and all(isinstance(item, str | int | float) for item in items)
    rule = f"{file.name}: {name} must be a number, a word, true, false, or a list of them"
    require(is_plain, rule, shortened(str(value)))
    return ",".join(words)


def changed_settings(before: str, after: str) -> str:
    r"""Say which settings two versions of a study differ in; nothing where none can be told.

    Example:
        >>> changed_settings("b_max = 20", "b_max = 30\\nevaluate = true")
        'b_max 20 to 30, evaluate not set to True'
    """
    try:
        old, new = tomllib.loads(before), tomllib.loads(after)
    except (tomllib.TOMLDecodeError, RecursionError):
        return ""
    return ", ".join(
        f"{name} {_shown(old, name)} to {_shown(new, name)}"
        for name in dict.fromkeys([*old, *new])
        if old.get(name) != new.get(name)
    )


def _shown(settings: Mapping[str, Any], name: str) -> str:
    return shortened(str(settings[name])) if name in settings else "not set"
