"""One word, one meaning: names of the contract with MLflow stand once, bindings have a noun."""

import ast
from pathlib import Path

import pytest

from looped import names

ROOT = Path(__file__).parents[1]
PACKAGES = ("looped", "analysis", "entrypoints")
SOURCES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
TESTS = sorted((ROOT / "tests").rglob("*.py"))

NOUNLESS = {
    *("own", "found", "said", "known", "seen", "asked", "given", "told", "kept", "chosen", "made"),
    *("drawn", "named", "shown", "wanted", "mine", "theirs", "ours", "held", "saved", "loaded"),
    *("built", "spent", "shared", "measured", "logged", "begun", "ended", "waiting", "missed"),
    *("taken", "used", "written", "done", "other", "others", "these", "those", "them"),
}
"""Bare participles and pronouns: what is bound to them has a noun."""

UNMISTAKABLE = {
    value
    for group in (names.Tag, names.Metric, names.Param, names.Variable)
    for name, value in vars(group).items()
    if not name.startswith("__") and (set("./_") & set(value.rstrip("./")) or value.isupper())
}
"""Names that no other text would hold by chance."""

NAMES_OF_RECORDS = {"escape_step"}
"""Of the contract, but fields of ours as well."""


def texts(tree):
    """Yield every text of a module that is no docstring, with its line."""
    docstrings = {
        id(node.value) for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }  # fmt: skip
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if is_text and id(node) not in docstrings:
            yield node.value, node.lineno


def bindings(tree):
    """Yield every name that a module binds, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_of_mlflow_stand_in_one_place(path):
    if path == ROOT / "looped" / "names.py":
        return
    literals = [
        f"line {line}: {text}"
        for text, line in texts(ast.parse(path.read_text("utf-8")))
        for name in UNMISTAKABLE - NAMES_OF_RECORDS
        if text == name or (name[-1] in "./" and text.startswith(name))
    ]
    assert literals == []


@pytest.mark.parametrize("path", [*SOURCES, *TESTS], ids=lambda path: str(path.relative_to(ROOT)))
def test_every_binding_has_its_noun(path):
    tree = ast.parse(path.read_text("utf-8"))
    nounless = [f"line {line}: {name}" for name, line in bindings(tree) if name in NOUNLESS]
    assert nounless == []


def test_the_two_tests_above_can_fail():
    tree = ast.parse('def f(own):\n    found = tags["looped.kind"]\n')
    assert {name for name, _ in bindings(tree)} & NOUNLESS == {"own", "found"}
    assert {text for text, _ in texts(tree)} & UNMISTAKABLE == {"looped.kind"}
    assert len(UNMISTAKABLE) > 30
