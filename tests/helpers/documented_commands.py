"""Resolves a command as the pages write it by what would read it, up to where its work begins.

A command of ours goes through its own ``main``, which is stopped once its options are read; one of
MLflow's through MLflow's own parser; ``make`` through the Makefile's targets and variables.
Programs of others are known by name alone.
"""

import contextlib
import io
import os
import re
import sys
import tomllib
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from unittest import mock

import yaml
from page_blocks import ROOT

from entrypoints import grid
from entrypoints.command_line import arguments
from looped.grid.lists import cross, refuse_doubles
from looped.grid.studies import apply_studies

PROGRAMS_OF_OTHERS = {
    *("source", "export", "cd", "git", "sudo", "curl", "pip", "uv", "ray", "pre-commit"),
    *("head", "jq", "mkdir", "cp", "openssl", "nginx"),
    *("ruff", "mypy", "lint-imports"),
}
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
ENTRY_POINTS = yaml.safe_load((ROOT / "MLproject").read_text("utf-8"))["entry_points"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


class UnknownCommandError(ValueError):
    """Nothing would run what stands there."""


class _AreRead(BaseException):
    """The options are read; carries them."""


def check(words: list[str]) -> None:
    """Resolve a command.

    Raises:
        UnknownCommandError: it would be refused; the message says by whom and why.
    """
    program, *rest = words
    program = program.removeprefix(".venv/bin/")
    checks = {"mlflow": _check_mlflow, "python": _check_python, "make": _check_make,
              "pytest": _check_pytest}  # fmt: skip
    if program in PROJECT.get("scripts", {}):
        if rest[0] == "ui":  # which has no options of ours, and would open MLflow's UI
            return
        module, function = PROJECT["scripts"][program].split(":")
        _check_ours(module, rest, function)
    elif program in checks:
        checks[program](rest)
    elif not os.access(ROOT / program, os.X_OK):  # a script of ours is run by its path
        _require(program in PROGRAMS_OF_OTHERS, f"{program} is no program that the pages use")


def _require(holds: object, problem: str) -> None:
    if not holds:
        raise UnknownCommandError(problem)


def _check_mlflow(words: list[str]) -> None:
    if words[0] == "run":
        _check_mlflow_run(words)
    _parse_by_mlflow(words)


def _parse_by_mlflow(words: list[str]) -> None:
    """Let MLflow's own commands read their words, without calling them."""
    import click
    from mlflow import cli

    command: click.Command = cli.cli
    name = "mlflow"
    while isinstance(command, click.Group):
        with command.make_context(name, list(words), resilient_parsing=True) as context:
            child = command.get_command(context, words[0])
        _require(child is not None, f"{name} has no command {words[0]}")
        name, command, words = words[0], child, words[1:]
    try:
        command.make_context(name, list(words))
    except click.ClickException as error:
        raise UnknownCommandError(f"mlflow {name}: {error.format_message()}") from None


def _check_mlflow_run(words: list[str]) -> None:
    """Fill the command of an entry point with the parameters that are given."""
    _require(words[1] == ".", f"mlflow run must be given the project's folder, got {words[1]}")
    name = words[words.index("-e") + 1]
    _require(name in ENTRY_POINTS, f"MLproject has no entry point {name}")
    entry = ENTRY_POINTS[name]
    values = {key: value["default"] for key, value in entry["parameters"].items()}
    pairs = [words[i + 1] for i, word in enumerate(words) if word == "-P"]
    for pair in pairs:
        key, _, value = pair.partition("=")
        _require(key in values, f"{name} has no parameter {key}")
        values[key] = value
    module = re.search(r"-m ([\w.]+)", entry["command"])[1]
    options = re.findall(r"--(\w+) \{(\w+)\}", entry["command"])
    _check_ours(
        module, [word for key, value in options for word in (f"--{key}", str(values[value]))]
    )


def _check_python(words: list[str]) -> None:
    if words[0] != "-m":
        path = ROOT / words[0]
        _require(path.exists(), f"there is no {words[0]}")
        options = [word for word in words[1:] if word.startswith("--")]
        source = path.read_text("utf-8")
        _require(all(f'"{option}"' in source for option in options), f"{words[0]} has no {options}")
        return
    module = words[1]
    spec = _spec_of(module)
    if spec.submodule_search_locations is not None:
        spec = _spec_of(f"{module}.__main__")
    is_benchmark = module.startswith("entrypoints.benchmarks.")
    if module.startswith("entrypoints.") and not is_benchmark:
        _check_ours(module, words[2:])
    else:
        source = Path(str(spec.origin)).read_text("utf-8")
        _require(spec.name.endswith("__main__") or "__main__" in source, f"{module} is no command")


def _spec_of(module: str) -> ModuleSpec:
    spec = find_spec(module)
    _require(spec, f"there is no module {module}")
    return spec


def _check_ours(module: str, argv: list[str], function: str = "main") -> None:
    """Let a command of ours read its options; what a grid crosses is crossed."""
    parse = arguments.parse

    def parse_and_stop(prog, description, *groups, **keywords):
        raise _AreRead(prog, parse(prog, description, *groups, **keywords))

    complaint = io.StringIO()
    main = getattr(import_module(module), function)
    with (
        mock.patch.object(arguments, "parse", parse_and_stop),
        mock.patch.object(sys, "argv", [module, *argv]),
        contextlib.redirect_stderr(complaint),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        try:
            main()
        except SystemExit as refusal:
            _require(refusal.code == 0, complaint.getvalue())  # as --help ends
            return
        except _AreRead as reading:
            prog, options = reading.args
        else:
            raise UnknownCommandError(f"{module} began its work without reading its options")
    if prog.endswith("grid"):
        try:
            lists = apply_studies(options[1].study, options[0])
            pair = arguments.words("pair", options[1].pair) or ()
            refuse_doubles(cross(lists, pair, grid.cells_of(options[1])[0]))
        except ValueError as error:
            raise UnknownCommandError(str(error)) from None


def _check_make(words: list[str]) -> None:
    for word in words:
        name, is_variable, _ = word.partition("=")
        pattern = rf"^{name} \?=" if is_variable else rf"^{name}:"
        _require(re.search(pattern, MAKEFILE, re.MULTILINE), f"the Makefile has no {word}")


def _check_pytest(words: list[str]) -> None:
    paths = [word for word in words if "/" in word]
    _require(all((ROOT / path).exists() for path in paths), f"no tests at {paths}")
