"""Command lines made from dataclasses: one list of names, types, defaults and rules."""

import argparse
import difflib
import math
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import Field, fields
from typing import (
    Any,
    NoReturn,
    TextIO,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    overload,
)

from entrypoints import outcome
from entrypoints.usage import usage
from looped.names import Weights
from looped.plugins import loading
from looped.rules import one_line, require

AUTO = "auto"

KINDS = ("tasks", "forms", "claims", "figures", "metrics")
"""Of parts that packages may install, by entry points of ``looped.<kind>``."""

WEIGHTS = (AUTO, Weights.LAST, Weights.TAIL)
WEIGHTS_HELP = "E of the last step's weights, or the last tenth's mean; auto: tail if all have it"

EXPERIMENT_HELP = (
    "whose trainings to read, by name or id; auto: that of `mlflow run --experiment-name`, or the "
    "only one that has any"
)

TASK_HELP = (
    "a task of your own, my_tasks.py:Quadratic, where its file moved; auto: where it was at first"
)

LONGEST_NAME, LONGEST_PATH = 255, 3000
"""Bytes of a file's name, and of a path: Linux takes 4,095, of which a run's files need some."""

First = TypeVar("First")
Second = TypeVar("Second")
Third = TypeVar("Third")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line."""
        line = _sentence(message)
        outcome.note_problem(line)
        self.exit(2, f"{self.prog}: {line}\n")

    def format_help(self) -> str:
        """Add the names of installed parts, of which nothing is imported."""
        parts = {kind: ", ".join(loading.names(kind)) for kind in KINDS}
        lines = [f"installed {kind}: {names}\n" for kind, names in parts.items() if names]
        further = "\n" + "".join(lines) if lines else ""
        return super().format_help() + further


def build_parser(prog: str, description: str, *groups: type) -> argparse.ArgumentParser:
    """Make a parser whose options are the fields of some dataclasses.

    Each field says in its metadata what it is for (``help``). The type follows from the
    annotation; None is written ``auto``, and a tuple as a list with commas. A default that is not
    settled yet may be shown as another word (``shown``).
    """
    formatter = argparse.ArgumentDefaultsHelpFormatter
    parser = _Parser(
        prog,
        usage=usage(prog),
        description=description,
        allow_abbrev=False,
        formatter_class=formatter,
    )
    for group in groups:
        hints = get_type_hints(group)
        for setting in fields(group):
            read = _reader(hints[setting.name])
            parser.add_argument(
                f"--{setting.name}",
                type=_or_auto(read) if "shown" in setting.metadata else read,
                default=setting.metadata.get("shown", _written(setting.default)),
                metavar=_metavar(setting),
                help=setting.metadata["help"],
            )
    parser.epilog = f"{outcome.FLAG}: {outcome.HELP}."
    return parser


@overload
def parse(
    prog: str, description: str, group: type[First], /, *, argv: Sequence[str] | None = None
) -> tuple[First]: ...
@overload
def parse(
    prog: str,
    description: str,
    first: type[First],
    second: type[Second],
    /,
    *,
    argv: Sequence[str] | None = None,
) -> tuple[First, Second]: ...
@overload
def parse(
    prog: str,
    description: str,
    first: type[First],
    second: type[Second],
    third: type[Third],
    /,
    *,
    argv: Sequence[str] | None = None,
) -> tuple[First, Second, Third]: ...


def parse(
    prog: str, description: str, *groups: type, argv: Sequence[str] | None = None
) -> tuple[Any, ...]:
    """Read a command line into one instance of each dataclass.

    Bad input ends the process with exit code 2 and one line: the rule, then what came.
    """
    parser = build_parser(prog, description, *groups)
    options, unknown_words = parser.parse_known_args(words_given(argv))
    if unknown_words:
        names = [setting.name for group in groups for setting in fields(group)]
        hint = close(unknown_words[0].lstrip("-"), names)
        parser.error(f"parameters must be among {', '.join(names)}, got {unknown_words[0]}{hint}")
    values = {name: None if value == AUTO else value for name, value in vars(options).items()}
    instances = []
    for group in groups:
        settings = {}
        for setting in fields(group):
            value = values[setting.name]
            # "auto" stays a word where the field has no None to stand for it
            settings[setting.name] = setting.default if value is None else value
        try:
            instances.append(group(**settings))
        except ValueError as error:
            parser.error(str(error))
    return tuple(instances)


def fixed_names(*groups: type, argv: Sequence[str] | None = None) -> frozenset[str]:
    """Name the parameters that a good command line does not leave ``auto``.

    ``mlflow run`` writes every parameter, with its default where none was given, so that the word
    alone tells what was left to choose.
    """
    options = vars(build_parser("", "", *groups).parse_args(words_given(argv)))
    return frozenset(name for name, value in options.items() if value != AUTO)


def readers(group: type) -> dict[str, Callable[[str], Any]]:
    """Give for each field of a dataclass what reads one value of it; None is written ``auto``."""
    hints = get_type_hints(group)
    return {setting.name: _reader_of_value(hints[setting.name]) for setting in fields(group)}


def _reader_of_value(hint: Any) -> Callable[[str], Any]:
    read = _reader(hint)
    return (lambda text: None if text == AUTO else read(text)) if _is_optional(hint) else read


def _is_optional(hint: Any) -> bool:
    return type(None) in get_args(hint)


def words_given(argv: Sequence[str] | None = None) -> list[str]:
    """Return the words of a command line without the flag for JSON."""
    return outcome.without_flag(sys.argv[1:] if argv is None else argv)


def close(word: str, names: Sequence[str]) -> str:
    """Write which name may have been meant; nothing where none is near."""
    close_names = difflib.get_close_matches(word, names, n=1)
    return f" (did you mean {close_names[0]}?)" if close_names else ""


def complain(prog: str, error: Exception | str) -> int:
    """Say in one line what is wrong; return the exit code for it."""
    line = _sentence(error)
    outcome.note_problem(line)
    print(f"{prog}: {line}", file=sys.stderr)
    return 1


def remark(line: str, file: TextIO | None = None) -> None:
    """Say a line at once, if there is one; on standard output unless told otherwise."""
    if line:
        print(line, file=file or sys.stdout, flush=True)


def _sentence(error: object) -> str:
    """Write a message, however it is laid out, as one line."""
    return one_line(" ".join(str(error).split()))


def words(name: str, text: str | None) -> list[str] | None:
    """Read a list that is written with commas.

    Raises:
        ValueError: something between two commas is missing.
    """
    if text is None:
        return None
    listed_words = [word.strip() for word in text.split(",")]
    require(all(listed_words), f"{name} must be words with commas between them", text)
    return listed_words


def loop_counts(name: str, text: str | None) -> list[int] | None:
    """Read a list of loop counts.

    Raises:
        ValueError: one is no whole number of at least 1.
    """
    listed_words = words(name, text)
    for word in listed_words or ():
        rule = f"{name} must be whole numbers of at least 1, as 1,5,10"
        require(word.isdigit() and int(word) >= 1, rule, text)
    return None if listed_words is None else [int(word) for word in listed_words]


def _written(default: Any) -> Any:
    """Write a default as a command line would."""
    if isinstance(default, tuple):
        return ",".join(str(_written(item)) for item in default)
    return AUTO if default is None else default


def _metavar(setting: "Field[Any]") -> str:
    choices = setting.metadata.get("choices")
    open_to = setting.metadata.get("open_to")
    names = (*choices, *([open_to] if open_to else [])) if choices else ()
    return "{" + ",".join(names) + "}" if names else setting.name.upper()


def _reader(hint: Any) -> Callable[[str], Any]:
    """Find the function that reads a value of an annotated type from its text."""
    if get_origin(hint) is tuple:
        item = get_args(hint)[0]
        read_item = _reader(item)
        has_none = type(None) in get_args(item)

        def read_items(text: str) -> Any:
            words_of_text = [] if text == AUTO else _words(text)
            items = (
                None if has_none and word == AUTO else read_item(word) for word in words_of_text
            )
            return tuple(items) or AUTO

        return read_items
    if get_origin(hint) in (Union, type(int | None)):
        (inner,) = (part for part in get_args(hint) if part is not type(None))
        return _or_auto(_reader(inner))
    readers: dict[Any, Callable[[str], Any]] = {
        int: _whole_number,
        float: _number,
        bool: _truth,
        str: _text,
    }
    return readers[hint]


def _or_auto(read: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda text: text if text == AUTO else read(text)


def _words(text: str) -> list[str]:
    listed_words = [word.strip() for word in text.split(",")]
    if not all(listed_words):
        raise argparse.ArgumentTypeError(
            f"must list values, with a comma between two, got '{text}'"
        )
    return listed_words


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"must be a finite number, got {text}")
    return value


def _whole_number(text: str) -> int:
    """Read ``10``, and ``10.0`` as well, which is what some tools make of it."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not value.is_integer():
        raise argparse.ArgumentTypeError(f"must be a whole number, got {text}")
    return int(value)


def _text(text: str) -> str:
    """Read a line of text; what may be a path, as it is no list, no longer than those may be."""
    has_controls = any(ord(character) < 32 or ord(character) == 127 for character in text)
    if has_controls or len(text.splitlines()) > 1:
        raise argparse.ArgumentTypeError(f"must be one line of plain text, got {text}")
    if "," not in text:
        if any(len(os.fsencode(name)) > LONGEST_NAME for name in text.split("/")):
            rule = f"must be at most {LONGEST_NAME} bytes long between two slashes"
            raise argparse.ArgumentTypeError(f"{rule}, got {text}")
        if len(os.fsencode(text)) > LONGEST_PATH:
            raise argparse.ArgumentTypeError(f"must be at most {LONGEST_PATH} bytes, got {text}")
    return text


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"must be true or false, got {text}")
    return text.lower() == "true"
