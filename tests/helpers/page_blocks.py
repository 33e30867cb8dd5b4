"""What of the pages can be run: blocks of commands and of Python, and commands in a line.

Blocks are fenced and name their language. In a Python block a comment ``# gives VALUE``, at the end
of an expression's line or on the line after it, states the expression's value.
"""

import ast
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "results").glob("*/README.md")),
]
LANGUAGES = ("bash", "python", "text", "toml", "mermaid")

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_IN_LINE = re.compile(r"`((?:mlflow|python|make|looped) [^`\n]+)`")
_SEPARATORS = (";", "&&", "|", "&")
_GIVES = re.compile(r"\s*# gives (.+)")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        language: as the fence names it.
        text: what is inside.
    """

    language: str
    text: str


def name_of(page: Path) -> str:
    """Name a page by its path in the project."""
    return str(page.relative_to(ROOT))


def blocks_of(page: Path) -> list[Block]:
    """Find the fenced blocks of a page."""
    return [Block(*match.groups()) for match in _FENCED.finditer(page.read_text("utf-8"))]


def prose_of(page: Path) -> str:
    """Return the text of a page without its blocks."""
    return _FENCED.sub("", page.read_text("utf-8"))


def commands_of(page: Path) -> list[list[str]]:
    """Find the commands of a page, as words: those of its blocks, and those in its lines."""
    commands = []
    for block in blocks_of(page):
        if block.language == "bash":
            commands += words_of(block.text)
    for text in _IN_LINE.findall(prose_of(page)):
        if "..." not in text and text != "mlflow run":
            commands += words_of(text)
    return commands


def words_of(text: str) -> list[list[str]]:
    """Split the lines of a shell into commands, and these into words."""
    commands = []
    for line in text.replace("\\\n", " ").splitlines():
        command: list[str] = []
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|")
        lexer.whitespace_split = True
        for word in lexer:
            if word in _SEPARATORS:
                commands.append(command)
                command = []
            else:
                command.append(word)
        commands.append(command)
    return [command for command in commands if command]


def run_python(text: str, namespace: dict[str, object]) -> list[str]:
    """Run a block, and return for each expression that does not give what it states a line."""
    lines = text.splitlines()
    problems = []
    for node in ast.parse(text).body:
        code = ast.Module([node], [])
        if not isinstance(node, ast.Expr):
            exec(compile(code, "block", "exec"), namespace)
            continue
        value = eval(compile(ast.Expression(node.value), "block", "eval"), namespace)
        last = node.end_lineno or 0
        after = [lines[last - 1][node.end_col_offset or 0 :], *lines[last : last + 1]]
        stated = [match[1] for match in map(_GIVES.fullmatch, after) if match]
        if stated and repr(value) != stated[0]:
            problems.append(f"line {last} gives {value!r}, not {stated[0]}")
    return problems


def n_stated(text: str) -> int:
    """Count the expressions of a block that state their value."""
    return len(re.findall(r"# gives ", text))
