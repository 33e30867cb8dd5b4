"""What tests enter and how long they take, as ``mutants`` chooses those to run."""

import os
import sys
from collections import defaultdict
from pathlib import Path

import pytest


def file_of(test: str) -> str:
    """Return the file that a test stands in."""
    return test.partition("::")[0]


class Watch:
    """A plugin of pytest: which functions each test enters, how long it takes, which fail.

    What fixtures enter counts for every test of the file, since they are shared there.
    """

    def __init__(self, root: Path) -> None:
        self.root = f"{root}{os.sep}"
        self.seconds, self.failures = {}, []
        self.entered = defaultdict(set)
        self.test = ""

    def trace(self, frame, event, _) -> None:
        """Note a call; lines within it are not traced."""
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(self.root):
            self.entered[self.test].add((code.co_filename[len(self.root) :], code.co_firstlineno))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item):
        self.test = item.nodeid
        sys.settrace(self.trace)
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item):
        self.test = file_of(item.nodeid)
        sys.settrace(self.trace)
        return (yield)

    def pytest_runtest_logreport(self, report):
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        if report.failed:
            self.failures.append(report.nodeid)

    def tests_of(self, path: str, function: int) -> list[str]:
        """Return the tests that enter a function, the quickest first; all if that is not known."""
        key = (path, function)
        names = {name for name, functions in self.entered.items() if key in functions}
        tests = [test for test in self.seconds if {test, file_of(test)} & names]
        if function == 0 or not tests:
            tests = list(self.seconds)
        good_tests = [test for test in tests if test not in self.failures]
        return sorted(good_tests, key=self.seconds.__getitem__)

    def limit(self, tests: list[str]) -> float:
        """Return the seconds after which a mutant counts as killed."""
        return 60 + 5 * sum(self.seconds[test] for test in tests)

    def kept(self) -> dict[str, object]:
        """Return all of this as JSON holds it."""
        entered = {test: sorted(functions) for test, functions in self.entered.items()}
        return {"seconds": self.seconds, "failures": self.failures, "entered": entered}

    def restore(self, content) -> None:
        """Take what another process kept."""
        self.seconds, self.failures = content["seconds"], content["failures"]
        for test, functions in content["entered"].items():
            self.entered[test] = set(map(tuple, functions))
