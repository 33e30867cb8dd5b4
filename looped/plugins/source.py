"""Which lines of a file make an object, and a digest of them.

They are those of its definition and, again and again, those that define what these name. What else
is in the file may change, and the object stays the same.
"""

import ast
import hashlib
from collections.abc import Iterator

from looped.rules import require

EVERYTHING = "*"
"""What ``from module import *`` may define."""


def digest_of(text: str, name: str, place: str) -> str:
    r"""Name the lines that make an object by twelve hexadecimal digits.

    Args:
        text: of the file.
        name: of the object, which a statement of the file defines.
        place: of the file, for the message.

    Raises:
        ValueError: the text is no Python, or does not define the object.

    Example:
        >>> one = digest_of("a = 1\nb = a\nc = 2\n", "b", "my_file.py")
        >>> one == digest_of("c = 3\na = 1\n\nb = a\n", "b", "my_file.py")
        True
    """
    try:
        statements = ast.parse(text).body
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        came = f"a {type(error).__name__}" + (f" in line {line}" if line else "")
        raise ValueError(f"{place} must be a file of Python, got {came}: {error}") from None
    definitions = [(frozenset(_defined(statement)), statement) for statement in statements]
    names_there = sorted({n for names, _ in definitions for n in names if not n.startswith("_")})
    names_there = [word for word in names_there if word not in (name, EVERYTHING)]
    is_there = any(name in names for names, _ in definitions)
    listed = f"it defines {', '.join(names_there[:12])}" if names_there else "it defines nothing"
    require(is_there, f"{place} must define {name}", listed)
    names, reached = {name, EVERYTHING}, set[int]()
    while True:
        new = {
            at
            for at, (defined, _) in enumerate(definitions)
            if defined & names and at not in reached
        }
        if not new:
            break
        reached |= new
        names |= {
            node.id for at in new for node in ast.walk(statements[at]) if isinstance(node, ast.Name)
        }
    lines = text.splitlines()
    parts = ["\n".join(_lines_of(statements[at], lines)) for at in sorted(reached)]
    return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()[:12]


def _lines_of(statement: ast.stmt, lines: list[str]) -> list[str]:
    decorators = getattr(statement, "decorator_list", [])
    first = min([statement.lineno, *(decorator.lineno for decorator in decorators)])
    return [line.rstrip() for line in lines[first - 1 : statement.end_lineno]]


def _defined(statement: ast.stmt) -> Iterator[str]:
    """Name what a statement defines in its module; what is inside of its functions too."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield statement.name
        return
    for node in ast.walk(statement):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                yield alias.asname or alias.name.partition(".")[0]
