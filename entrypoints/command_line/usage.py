"""How the commands are called: by which names, and in which ways."""

CONSOLE = {
    "train": "train",
    "grid": "grid",
    "evaluate": "evaluate_extrapolation",
    "tables": "evaluate_tables",
    "fit": "fit_scaling",
    "predict": "predict_scaling",
    "report": "report",
    "import": "import_runs",
    "relocate": "relocate",
    "bench": "benchmark",
}
"""What ``looped`` calls the commands, and the modules and entry points that they are."""


def usage(prog: str) -> str:
    """Write the ways to give a command, as one types them.

    Example:
        >>> print(usage("fit_scaling"))
        looped fit [--<parameter> <value> ...] [--json]
               python -m entrypoints.fit_scaling [--<parameter> <value> ...] [--json]
               mlflow run . -e fit_scaling [-P <parameter>=<value> ...]
    """
    names = [name for name, module in CONSOLE.items() if module == prog]
    words = "[--<parameter> <value> ...] [--json]"
    ways = [f"looped {name} {words}" for name in names]
    ways.append(f"python -m entrypoints.{prog} {words}")
    if names:  # what makes the project's own files is no entry point of MLflow's
        ways.append(f"mlflow run . -e {prog} [-P <parameter>=<value> ...]")
    return "\n       ".join(ways)
