"""Command lines made from dataclasses: one list of names, types, defaults and rules."""

import argparse
import difflib
import sys
from collections.abc import Sequence
from dataclasses import Field, fields
from typing import Any, NoReturn, TextIO, TypeVar, get_type_hints, overload

from entrypoints.command_line import outcome
from entrypoints.command_line.readers import AUTO, or_auto, reader
from entrypoints.command_line.usage import usage
from looped.names import Weights
from looped.plugins import loading
from looped.rules import one_line, require

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
            read = reader(hints[setting.name])
            parser.add_argument(
                f"--{setting.name}",
                type=or_auto(read) if "shown" in setting.metadata else read,
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
