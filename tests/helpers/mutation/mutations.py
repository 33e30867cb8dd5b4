"""Small faults that can be put into a source: where, of what kind, and what the text becomes.

A mutant replaces the smallest piece of text and leaves every other line where it was, so that
examples in docstrings and the lines of messages stay what they are.
"""

import ast
import copy
from dataclasses import dataclass

NEGATED = {
    ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
NEIGHBOUR = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
SWAPPED = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One fault.

    Attributes:
        kind: of the fault, in words.
        line: where the text that is replaced begins, from 1.
        start: first byte of it.
        end: the byte after it.
        text: what comes in its place.
        function: first line of the innermost function that holds it; 0 outside all of them.
    """

    kind: str
    line: int
    start: int
    end: int
    text: str
    function: int

    def applied_to(self, source: bytes) -> bytes:
        """Return the source with the fault in it."""
        return source[: self.start] + self.text.encode() + source[self.end :]

    def described(self, source: bytes) -> str:
        """Say in a line what becomes of what."""
        old_text = " ".join(source[self.start : self.end].decode().split())
        return f"{self.kind}: {old_text[:100]} -> {self.text.strip()[:100]}"

    def is_another_program(self, source: bytes) -> bool:
        """Return whether the source with the fault parses, and to something else."""
        try:
            tree = ast.parse(self.applied_to(source))
        except SyntaxError:
            return False
        return ast.dump(tree) != ast.dump(ast.parse(source))


def mutants_of(source: bytes) -> list[Mutant]:
    """List the mutants of a source in the order of its text; a few may be no other program."""
    finder = _Finder(source)
    finder.visit(ast.parse(source))
    return sorted(set(finder.mutants), key=lambda mutant: (mutant.start, mutant.end, mutant.text))


class _Finder(ast.NodeVisitor):
    """Walks a module; annotations, docstrings and f-strings are not touched."""

    def __init__(self, source: bytes) -> None:
        self.mutants = list[Mutant]()
        self.functions = [0]
        self.line_starts = [0]
        for line in source.splitlines(keepends=True):
            self.line_starts.append(self.line_starts[-1] + len(line))

    def add(self, kind: str, node: ast.expr | ast.stmt, text: str) -> None:
        start = self.line_starts[node.lineno - 1] + node.col_offset
        end = self.line_starts[node.end_lineno - 1] + node.end_col_offset
        self.add_text(kind, node.lineno, start, end, text)

    def add_text(self, kind: str, line: int, start: int, end: int, text: str) -> None:
        self.mutants.append(Mutant(kind, line, start, end, text, self.functions[-1]))

    def add_changed(self, kind: str, node: ast.expr, **changes: object) -> None:
        """Add a mutant of an expression some of whose fields are changed."""
        changed_node = copy.copy(node)
        for name, value in changes.items():
            setattr(changed_node, name, value)
        self.add(kind, node, f"({ast.unparse(changed_node)})")

    def visit_function(self, node: ast.FunctionDef) -> None:
        first_line = min([node.lineno, *(line.lineno for line in node.decorator_list)])
        self.functions.append(first_line)
        for default in [*node.args.defaults, *filter(None, node.args.kw_defaults)]:
            self.visit(default)
        self.visit_body(node.body)
        self.functions.pop()

    visit_FunctionDef = visit_AsyncFunctionDef = visit_function

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.visit_body(node.body)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.visit(node.body)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Python 3.11 does not say where in the source its parts are."""

    def visit_body(self, body: list[ast.stmt]) -> None:
        for statement in body:
            self.visit(statement)

    def visit_Compare(self, node: ast.Compare) -> None:
        for index, operator in enumerate(node.ops):
            for kind, table in (("comparison flipped", NEGATED), ("its edge moved", NEIGHBOUR)):
                if type(operator) in table:
                    operators = [*node.ops]
                    operators[index] = table[type(operator)]()
                    self.add_changed(kind, node, ops=operators)
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self.add("constant changed", node, str(not node.value))
        elif isinstance(node.value, int):
            self.add("constant changed", node, str(node.value + 1))
        elif isinstance(node.value, float):
            self.add("constant changed", node, repr(2 * node.value if node.value else 1.0))

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if type(node.op) in SWAPPED:
            self.add_changed("operator swapped", node, op=SWAPPED[type(node.op)]())
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        operator = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        self.add_changed("operator swapped", node, op=operator)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, (ast.Not, ast.USub, ast.Invert)):
            self.add("sign or not dropped", node, f"({ast.unparse(node.operand)})")
        if not isinstance(node.operand, ast.Constant):
            self.generic_visit(node)

    def visit_condition(self, node: ast.If | ast.While | ast.IfExp) -> None:
        self.add("condition forced", node.test, "True")
        self.add("condition forced", node.test, "False")
        self.add("not added", node.test, f"(not ({ast.unparse(node.test)}))")
        self.generic_visit(node)

    visit_If = visit_IfExp = visit_While = visit_condition

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs:
            self.add("filter dropped", test, "True")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if node.args:
            self.add_changed("argument dropped", node, args=node.args[:-1])
        for index in range(len(node.keywords)):
            keywords = node.keywords[:index] + node.keywords[index + 1 :]
            kind = f"argument {node.keywords[index].arg} dropped"
            self.add_changed(kind, node, keywords=keywords)
        self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None:
            self.add("return replaced", node, "return None")
            self.visit(node.value)

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):
            self.add("statement deleted", node, "pass")
            self.visit(node.value)

    def visit_deletable(self, node: ast.AugAssign | ast.Raise | ast.Delete) -> None:
        self.add("statement deleted", node, "pass")
        self.generic_visit(node)

    visit_AugAssign = visit_Raise = visit_Delete = visit_deletable

    def visit_Assign(self, node: ast.Assign) -> None:
        if all(isinstance(target, (ast.Attribute, ast.Subscript)) for target in node.targets):
            self.add("statement deleted", node, "pass")
        self.visit(node.value)

    def visit_Break(self, node: ast.Break) -> None:
        self.add("statement deleted", node, "pass")

    def visit_Continue(self, node: ast.Continue) -> None:
        self.add("statement deleted", node, "pass")

    def visit_With(self, node: ast.With) -> None:
        """Take away what a block stands under: a lock, say."""
        first_line = node.body[0].lineno
        has_names = any(item.optional_vars for item in node.items)
        if not has_names and first_line > node.lineno:
            start = self.line_starts[node.lineno - 1] + node.col_offset
            end = self.line_starts[first_line - 1]
            self.add_text("with dropped", node.lineno, start, end, "if True:\n")
        self.generic_visit(node)
