"""The faults that mutation testing puts in, and those that must be noticed."""

import subprocess
import sys
from pathlib import Path

import pytest
from mutations import mutants_of
from named_faults import FAULTS

ROOT = Path(__file__).parents[1]

SOURCE = '''"""A docstring with 1 number."""
LIMIT: "dict[int, 3]" = {1: 0.5}


@decorated
def clip(values: Floats = None, least=0, *, most: int = 9):
    """Is 7 in here?"""
    with locked(least):
        values.sort()
    if least < len(values) and not broken:
        total = sum(x**2 for x in values if x > 0)
        return f"{total + 1}", max(total / 2, -most, key=size)
    raise ValueError("none")
'''
EXPECTED = {
    "constant changed": {"2", "1.0", "1", "10", "3"},
    "with dropped": {"if True:"},
    "statement deleted": {"pass"},
    "condition forced": {"True", "False"},
    "not added": {"(not (least < len(values) and (not broken)))"},
    "comparison flipped": {"(least >= len(values))", "(x <= 0)"},
    "its edge moved": {"(least <= len(values))", "(x >= 0)"},
    "operator swapped": {"(least < len(values) or not broken)", "(x * 2)", "(total * 2)"},
    "sign or not dropped": {"(broken)", "(most)"},
    "filter dropped": {"True"},
    "return replaced": {"return None"},
    "argument dropped": {
        "(locked())", "(len())", "(sum())", "(max(total / 2, key=size))", "(ValueError())",
    },
    "argument key dropped": {"(max(total / 2, -most))"},
}  # fmt: skip


def test_every_kind_of_fault_is_put_where_it_fits_and_nowhere_else():
    texts_by_kind = {}
    for mutant in mutants_of(SOURCE.encode()):
        texts_by_kind.setdefault(mutant.kind, set()).add(mutant.text.strip())
    assert texts_by_kind == EXPECTED


def test_a_fault_leaves_all_other_text_alone():
    source = SOURCE.encode()
    for mutant in mutants_of(source):
        assert mutant.is_another_program(source), mutant
        faulty_source = mutant.applied_to(source)
        assert faulty_source.startswith(source[: mutant.start])
        assert faulty_source.endswith(source[mutant.end :])
        assert faulty_source.count(b"\n") == source.count(b"\n")
        assert mutant.function == (5 if mutant.line > 2 else 0)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_named_fault_has_its_place_and_its_tests(fault):
    """Where its code has moved it has to be put there, else nobody would try it again."""
    source = (ROOT / fault.path).read_text("utf-8")
    assert source.count(fault.text) == 1
    assert source.replace(fault.text, fault.faulty_text) != source
    for test in fault.tests.split():
        path, _, name = test.partition("::")
        assert name in ((ROOT / path).read_text("utf-8") if name else "")


@pytest.mark.slow
def test_every_named_fault_is_noticed():
    command = [sys.executable, "tests/helpers/mutation/named_faults.py"]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout + process.stderr
