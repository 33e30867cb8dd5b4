"""The card of a data set: what it is, how it was made, its licence, its columns, its limits.

Its head is that of Hugging Face's cards, so that the folder can be put there as it is.
"""

import re
from pathlib import Path

import pandas as pd

from analysis.datasets.tables import DECIMALS, Tables
from looped.datasets.columns import KEY, TABLES
from looped.names import Convergence

_TITLE = re.compile(r"# (.+)\n+((?:.+\n)+)")

LIMITS = (
    "An error is that of one training at its last step (or of the mean of its last weights), not "
    "a limit that the size and b could reach.",
    "Standard errors are over held-out prompts, which are the same for all trainings of a task. "
    "They say nothing of how seeds scatter: compare seeds for that.",
    "A seed starts from the same weights at every b, and all trainings of a seed see the same "
    "prompts, so trainings of one seed err together.",
    "Sizes differ in depth, width, heads and learning rate at once: no difference between them is "
    "the effect of the number of weights alone.",
    "The tasks are synthetic functions learned in context, not language.",
    "Online errors (steps) are means over a few training prompts, and no standard error was "
    "recorded for them; `n_prompts` says of how many.",
)


def card_of(name: str, source: Path, tables: Tables) -> str:
    """Write the card of a data set.

    Args:
        name: of the data set.
        source: the folder of trainings, whose README says how they were made.
        tables: of the data set.
    """
    title, making = _described(source, name)
    return "\n".join(
        [
            *_head(name, title),
            f"# {title}",
            "",
            _content(tables.runs),
            "",
            "## How it was made",
            "",
            making,
            "",
            "The trainings and their evaluations are the records that `looped` appended to each "
            "training's journal while it ran. Nothing was thinned, smoothed or left out: every "
            f"sample of a curve and every evaluated loop is a row{_left_out(tables)}.",
            "",
            "## Licence and citation",
            "",
            "MIT, as the software that made it. Please cite the software (`CITATION.cff`), with "
            "the name of the data set and the checksums in `SHA256SUMS`, and the paper by Yang, "
            "Lee, Nowak and Papailiopoulos (ICLR 2024, arXiv:2311.12424), whose models these are.",
            "",
            "## Limits",
            "",
            *(f"- {limit}" for limit in (*_own_limits(tables.runs), *LIMITS)),
            "",
            "## Files",
            "",
            "Each table is there twice, as CSV and as Parquet, with the same values. What was "
            "recorded is written with every digit; what is computed from it (bits, late slopes) is "
            f"rounded to {DECIMALS} decimals, so that it comes out the same on every processor. An "
            "empty field is a missing value.",
            *_columns(tables),
            "",
        ]
    )


def _head(name: str, title: str) -> list[str]:
    configs = [
        line
        for table in TABLES
        for line in (f"- config_name: {table}", f"  data_files: {table}.parquet")
    ]
    configs.insert(2, "  default: true")
    tags = ("looped transformers", "in-context learning", "scaling laws", "tabular")
    return [
        "---",
        "license: mit",
        f'pretty_name: "{name}: {title}"',
        "tags:",
        *(f"- {tag}" for tag in tags),
        "configs:",
        *configs,
        "---",
        "",
    ]


def _described(source: Path, name: str) -> tuple[str, str]:
    """Take the title and first paragraph of the README beside the trainings."""
    readme = source / "README.md"
    match = _TITLE.match(readme.read_text("utf-8")) if readme.is_file() else None
    if match is None:
        return name, f"From the trainings in `{source.name}`, which no README describes."
    return match[1], match[2].strip()


def _content(runs: pd.DataFrame) -> str:
    sizes = ", ".join(runs["size"].unique())
    return (
        f"The error of {len(runs)} looped transformers by size ({sizes}), trained loop count b "
        f"({_listed(runs['b'])}), seed ({_listed(runs['seed'])}) and prompt "
        f"({_listed(runs['prompt'])}): over the steps of each training, and after every loop on "
        "held-out prompts, beyond b too. A looped transformer applies one weight-tied stack of "
        "blocks b times."
    )


def _own_limits(runs: pd.DataFrame) -> list[str]:
    n_learning = int((runs["convergence"] == Convergence.LEARNING).sum())
    n_unknown = int((runs["convergence"] == Convergence.CANNOT_TELL).sum())
    limits = [
        f"Of {len(runs)} trainings {n_learning} were surely still learning when they ended, and of "
        f"{n_unknown} the curves cannot tell (`convergence`)."
    ]
    for column, words in (("plateau", "never learned"), ("diverged", "diverged")):
        if count := int(runs[column].sum()):
            limits.append(f"{count} of them {words} (`{column}`); they are in the tables.")
    return limits


def _left_out(tables: Tables) -> str:
    n_unfinished = tables.n_left_out
    if not n_unfinished:
        return ""
    return (
        f" ({n_unfinished} of the folder's trainings had not finished, or were given up as "
        "diverged, and are in no table)"
    )


def _columns(tables: Tables) -> list[str]:
    key_names = [column.name for column in KEY]
    lines: list[str] = []
    for table, columns in TABLES.items():
        n_rows = len(tables.by_name[table])
        lines += ["", f"### {table}: {n_rows:,} rows", "", "| column | kind | meaning |"]
        lines += ["|---|---|---|"]
        lines += [
            f"| `{column.name}` | {column.kind} | {column.meaning} |"
            for column in columns
            if table == "runs" or column.name not in key_names
        ]
        if table != "runs":
            listed_names = ", ".join(f"`{name}`" for name in key_names)
            lines += ["", f"and those of `runs` that say which training it is: {listed_names}"]
    return lines


def _listed(column: pd.Series) -> str:
    return ", ".join(map(str, sorted(column.unique())))
