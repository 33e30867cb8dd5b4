"""Defaults and limits that the pages' tables state are those of the code."""

import re

import pytest
from page_blocks import ROOT

from looped import limits
from looped.config import TrainConfig
from looped.grid.options import GridOptions, RunOptions
from looped.tasks.kinds import TASK_KINDS

DEFAULTS = {
    name: value
    for options in (RunOptions(), GridOptions(), TrainConfig())
    for name, value in vars(options).items()
}
ROW = re.compile(r"^\| (`\w+`(?:, `\w+`)*) \| ([^|]+) \|", re.MULTILINE)


def written(value):
    """Write a default as a command line would."""
    return "auto" if value is None else str(value).lower() if value in (True, False) else str(value)


@pytest.mark.parametrize("page", ["README.md", "docs/training.md", "docs/grids.md"])
def test_tables_of_parameters_state_the_defaults(page):
    rows = ROW.findall((ROOT / page).read_text("utf-8"))
    assert len(rows) >= 6
    for names, defaults in rows:
        parameters = re.findall(r"\w+", names)
        stated = defaults.replace("`", "").strip().split(", ")
        stated *= len(parameters) // len(stated)
        assert stated == [written(DEFAULTS[name]) for name in parameters], names


def test_the_table_of_limits_states_them():
    text = (ROOT / "docs/registered-models.md").read_text("utf-8")
    all_limits = [limit for limit in vars(limits).values() if isinstance(limit, limits.Limit)]
    assert len(all_limits) == 6
    for limit in all_limits:
        assert f"| `{limit.variable}` | {limit.default:,} |" in text


def test_the_table_of_tasks_has_each_with_its_settings():
    text = (ROOT / "docs/tasks.md").read_text("utf-8")
    for name, kind in TASK_KINDS.items():
        settings = ", ".join(f"`{each.name}` {each.default}" for each in kind.settings)
        assert re.search(rf"^\| `{name}` \| [^|]+ \| {settings} *\|", text, re.MULTILINE), name
