"""The command ``looped``: the commands of MLproject, under short names, and the UI.

``entrypoints`` holds them for ``mlflow run`` and ``python -m``; here they have the same parsers.
"""

import importlib
import os
import sys

from entrypoints.command_line import arguments, terminal
from entrypoints.command_line.usage import CONSOLE
from looped import __version__

COMMANDS = (*CONSOLE, "ui")
_UI = """\
usage: looped ui [--port <port>] [any other option of `mlflow ui`]

Open MLflow's UI on the store that MLFLOW_TRACKING_URI names, or on mlflow.db in this folder.
"""


def main() -> int:
    """Run the command that the first word names; return its exit code."""
    words = sys.argv[1:]
    name = words[0] if words else "--help"
    if name in ("--help", "-h"):
        print(_summary())
        return 0 if words else 2
    if name == "--version":
        print(f"looped {__version__}")
        return 0
    if name == "ui":
        return _ui(words[1:])
    module = CONSOLE.get(name)
    if module is None:
        hint = arguments.close(name, COMMANDS)
        rule = f"command must be one of {', '.join(COMMANDS)}"
        print(f"looped: {rule}, got {name}{hint}", file=sys.stderr)
        return 2
    sys.argv = [f"looped {name}", *words[1:]]
    return int(terminal.run(importlib.import_module(f"entrypoints.{module}").main))


def _summary() -> str:
    """Write what the commands do, a line each."""
    lines = ["usage: looped <command> [--<parameter> <value> ...]", ""]
    for name, module in CONSOLE.items():
        text = importlib.import_module(f"entrypoints.{module}").__doc__ or ""
        lines.append(f"  {name:10}{text.splitlines()[0]}")
    lines.append(f"  {'ui':10}Open MLflow's UI on what was logged.")
    lines += ["", "`looped <command> --help` lists its parameters."]
    return "\n".join(lines)


def _ui(words: list[str]) -> int:
    """Open the UI on the store that commands use; an embedded one is made whole first."""
    if words[:1] in (["--help"], ["-h"]):
        print(_UI, end="")
        return 0
    import mlflow

    from looped.tracking.stores import embedded

    uri = str(mlflow.get_tracking_uri())
    if uri.startswith(("http://", "https://")):
        print(f"looped: the store is served: open {uri}")
        return 0
    try:
        database = embedded.database_of(uri)
        if database is not None:
            embedded.prepare(database)
    except embedded.StoreError as error:
        return arguments.complain("looped", error)
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri, *words]
    os.execv(sys.executable, command)
