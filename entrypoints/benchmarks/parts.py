"""The parts by name."""

from importlib import import_module

from entrypoints.benchmarks.workbench import Rows, Workbench

MODULES = {
    "training": "training",
    "evaluation": "evaluation",
    "data": "data",
    "logging": "records",
    "startup": "startup",
    "checkpoints": "checkpoints",
    "grid": "grids",
    "scaling": "scaling",
}


def measure(part: str, bench: Workbench) -> Rows:
    """Yield a part's rows as they come; only what it needs is loaded."""
    module = import_module(f"entrypoints.benchmarks.{MODULES[part]}")
    rows: Rows = module.measure(bench)
    return rows
