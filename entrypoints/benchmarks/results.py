"""What a benchmark found, as JSON holds it, and the tables made from that alone."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from looped.names import Metric

Results = dict[str, Any]
"""``about``, ``options`` and, by part, the rows of ``parts``."""

COLUMNS: Mapping[str, Sequence[tuple[str, str]]] = {
    "training": [
        ("size, b, prompt", "{name}"),
        ("seeds", "{seeds}"),
        ("plain, ms", "{plain_ms:.4g}"),
        ("ours, ms", "{ours_ms:.4g}"),
        ("ratio (lowest to highest)", "{ratio:.2f} ({ratio_low:.2f} to {ratio_high:.2f})"),
        ("plain, MiB", "{plain_mib:,.0f}"),
        ("ours, MiB", "{ours_mib:,.0f}"),
        ("TFLOP/s", "{tflops:.3g}"),
        ("of the rate", "{share:.1%}"),
        ("first step after", "{ready_s:.2f} s"),
        ("7,500 steps", "{run_minutes:.1f} min"),
    ],
    "checkpoints": [
        ("size, b", "{name}"),
        ("keeps all, ms", "{keeps_ms:.4g}"),
        (
            "recomputes: times as long (lowest to highest)",
            "{ratio:.2f} ({ratio_low:.2f} to {ratio_high:.2f})",
        ),
        ("keeps all, MiB", "{keeps_mib:,.0f}"),
        ("recomputes, MiB", "{checkpoint_mib:,.0f}"),
    ],
    "evaluation": [
        ("evaluated", "{name}"),
        ("loops", "{loops}"),
        ("prompts/s", "{prompts_per_s:,.4g}"),
        ("TFLOP/s", "{tflops:.3g}"),
        ("of the rate", "{share:.1%}"),
        ("12,800 prompts", "{run_minutes:.1f} min"),
    ],
    "data": [
        ("drawn", "{name}"),
        ("a batch, ms", "{ms:.3g}"),
        ("prompts/s", "{prompts_per_s:,.0f}"),
        ("of a step", "{share:.2%} of {of}"),
    ],
    "logging": [
        ("recorded", "{what}"),
        ("ms", "{ms:,.4g}"),
        ("processor, ms", "{processor_ms:,.4g}"),
        ("share", "{share:.3%} of {of}"),
    ],
    "startup": [
        ("command", "{what}"),
        ("seconds (lowest to highest)", "{seconds:.2f} ({lowest:.2f} to {highest:.2f})"),
        ("processor, s", "{processor:.2f}"),
    ],
    "grid": [
        ("tracking", "{kind}"),
        ("cells: seconds", "{few}: {few_s:.1f}, {many}: {many_s:.1f}"),
        ("a cell, s", "{per_cell_s:.2f}"),
        ("of the processor", "{per_cell_processor_s:.2f}"),
        ("the grid, s", "{fixed_s:.1f}"),
    ],
    "scaling": [
        ("against", "{against}"),
        ("at", "{xs:g}"),
        ("ms", "{ms:.4g}"),
        ("MiB", "{mib:.4g}"),
        ("time grows as", "{time_exponent:.2f} ± {time_se:.2f}"),
        ("memory", "{memory_exponent:.2f} ± {memory_se:.2f}"),
        ("FLOPs", "{flops_exponent:.2f}"),
        ("fixed, ms", "{fixed_ms:.3g}"),
        ("each, ms", "{slope_ms:.3g}"),
    ],
}


class _List(list[float]):
    def __format__(self, how: str) -> str:
        return ", ".join(format(value, how) for value in self)


class _Missing:
    def __format__(self, how: str) -> str:
        return ""


class _Cells(dict[str, Any]):
    def __missing__(self, name: str) -> _Missing:
        return _Missing()


def preface(about: Mapping[str, Any]) -> str:
    """Say what was measured on."""
    return (
        f"{about['device']}, {about['threads']} threads, torch {about['torch']}, ours in "
        f"{about['precision']}; large matrix products reach {about['matrix_tflops']:.3g} TFLOP/s"
    )


def header(part: str) -> str:
    """Begin a part's table."""
    titles = [title for title, _ in COLUMNS[part]]
    return f"| {' | '.join(titles)} |\n{'|---' * len(titles)}|"


def line(part: str, row: Mapping[str, Any]) -> str:
    """Write one row of a part's table."""
    cells = _Cells(
        {name: _List(value) if isinstance(value, list) else value for name, value in row.items()}
    )
    return f"| {' | '.join(how.format_map(cells) for _, how in COLUMNS[part])} |"


def markdown(results: Results) -> str:
    """Write everything as Markdown."""
    tables = [
        "\n".join([f"### {part}", "", header(part), *(line(part, row) for row in rows)])
        for part, rows in results["parts"].items()
    ]
    return "\n\n".join([preface(results["about"]), *tables]) + "\n"


def figures(results: Results) -> dict[str, float]:
    """Name every single number as MLflow does: ``benchmark/small-b10-joint/ratio``."""
    return {
        f"{Metric.BENCHMARK}{row['name']}/{name}": float(value)
        for rows in results["parts"].values()
        for row in rows
        for name, value in row.items()
        if isinstance(value, (int, float))
    }


def write_json(results: Results, path: Path) -> None:
    """Keep results."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Results:
    """Read what ``write_json`` wrote.

    Raises:
        ValueError: it did not.
    """
    try:
        results: Results = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"read must name a benchmark's JSON, got {path}: {error}") from None
    if not isinstance(results, dict) or not {"about", "options", "parts"} <= results.keys():
        raise ValueError(f"read must name a benchmark's JSON, got {path}")
    return results
