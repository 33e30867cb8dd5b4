"""Mutation testing: put small faults into modules, one at a time, and see whether tests notice.

    python tests/helpers/mutation/mutants.py analysis/scaling analysis/claims --mutants 150 --seed 1

draws mutants from the modules of these rooms, runs the quick tests of the room on each in a copy of
the tree, and prints the score and the mutants that survive. Only the tests that enter the mutated
function run, those of its module where that is known from no test; ``--all-tests`` runs the whole
room on what survives them.

Our own and not cosmic-ray or mutmut, because here a training's imports (torch, MLflow) take longer
than most tests: one process imports them, and each mutant is a fork of it. mutmut 3 moreover puts
every variant of a function into one file behind a trampoline, which the import hook of
``conftest`` (jaxtyping, beartype) would check a hundred times over and which shifts the lines that
examples and messages name; cosmic-ray starts pytest anew for each mutant.
"""

import argparse
import contextlib
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from mutations import Mutant, mutants_of
from watched_tests import Watch

ROOT = Path(__file__).parents[3]
COPIED = ("analysis", "entrypoints", "looped", "tests", "results", "docs", "pyproject.toml",
          "MLproject", "README.md", "conda.yaml", "constraints.txt", "Makefile", "examples",
          "CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff", "LICENSE")  # fmt: skip
PRELOADED = (
    "torch", "mlflow.tracking", "mlflow.pyfunc", "pandas", "scipy.stats", "scipy.optimize",
    "sklearn.linear_model", "matplotlib.figure", "safetensors.torch", "beartype", "yaml",
)  # fmt: skip
PYTEST = (
    "-x",
    "-q",
    "-p",
    "no:randomly",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:xdist",
    "-W",
    "ignore::pytest.PytestAssertRewriteWarning",
)  # plugins that are imported already


def in_a_fork(work, limit: float, log: Path) -> int | None:
    """Do work in a fork of this process; return its exit code, None if it took too long."""
    child = os.fork()
    if not child:
        code = 70
        try:
            os.setsid()
            descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            code = int(work())
        except Exception:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    until, status = time.monotonic() + limit, None
    while status is None and time.monotonic() < until:
        time.sleep(0.02)
        process, wait_status = os.waitpid(child, os.WNOHANG)
        status = os.waitstatus_to_exitcode(wait_status) if process else None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # whoever it left behind as well
    if status is None:
        os.waitpid(child, 0)
    return status


def tests_of_room(room: str) -> str:
    """Return where the tests of a room or of a module lie."""
    name = Path(room).stem
    return f"tests/{name}" if (ROOT / "tests" / name).is_dir() else f"tests/test_{name}.py"


@contextlib.contextmanager
def copy_of_the_tree() -> Iterator[Path]:
    """Work in a copy of the project, ``tree``, for a while; yield the folder that holds it."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        try:
            _copy_tree(Path(folder, "tree"))
            yield Path(folder)
        finally:
            os.chdir(ROOT)


def _copy_tree(to: Path) -> None:
    """Copy the project and make it the one that is imported, here and in child processes."""
    to.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, to / name, ignore=ignore)
        else:
            shutil.copy2(ROOT / name, to)
    os.chdir(to)
    sys.path[:] = [str(to), *(part for part in sys.path if Path(part or ".").resolve() != ROOT)]
    sys.path.remove(str(Path(__file__).parent))
    os.environ |= {"PYTHONPATH": str(to), "OMP_NUM_THREADS": "1", "CI": "1"}
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    if not Path("/dev/nvidiactl").exists():  # as conftest does, too late once torch is here
        os.environ["TRITON_INTERPRET"] = "1"
    for name in PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


class Mutated:
    """A module of the copy with a fault in it, and as it was afterwards."""

    def __init__(self, path: Path, faulty_source: bytes) -> None:
        self.path, self.faulty_source = path, faulty_source
        self.source, self.stat = path.read_bytes(), path.stat()
        self.compiled_files = {
            file: file.read_bytes() for file in path.parent.glob(f"__pycache__/{path.stem}.*")
        }

    def __enter__(self) -> None:
        for file in self.compiled_files:
            file.unlink()
        self.path.write_bytes(self.faulty_source)

    def __exit__(self, *_) -> None:
        self.path.write_bytes(self.source)
        os.utime(self.path, ns=(self.stat.st_atime_ns, self.stat.st_mtime_ns))
        for file, content in self.compiled_files.items():
            file.write_bytes(content)


def watch_room(copy: Path, room: str) -> Watch:
    """Run the tests of a room as they are, which must pass."""
    watch, result = Watch(copy), copy.parent / "watched.json"

    def work() -> int:
        code = pytest.main([*PYTEST[1:], tests_of_room(room)], plugins=[watch])
        sys.settrace(None)
        result.write_text(json.dumps(watch.kept()))
        return code

    in_a_fork(work, 900, copy.parent / "watched.log")
    if result.exists():
        watch.restore(json.loads(result.read_text()))
    if len(watch.seconds) == len(watch.failures):
        raise SystemExit(f"mutants: the tests of {room} did not run:\n"
                         + (copy.parent / "watched.log").read_text())  # fmt: skip
    result.unlink()
    for test in watch.failures:
        print(f"left out, since it fails without a mutant: {test}")
    return watch


def run_tests(tests: list[str], limit: float, log: Path) -> str:
    """Run some tests on the copy as it is; return what became of the mutant in it."""

    def work() -> int:
        sys.dont_write_bytecode = True
        return pytest.main([*PYTEST, *tests])

    code = in_a_fork(work, limit, log)
    if code is None:
        return "killed (too slow)"
    return "survived" if code == 0 else "killed"


def draw(rooms: list[str], count: int, seed: int) -> list[tuple[str, Path, Mutant]]:
    """Draw mutants of all modules of some rooms, each with the same chance."""
    population = []
    for room in rooms:
        paths = sorted(Path(room).rglob("*.py")) if Path(room).is_dir() else [Path(room)]
        for path in paths:
            population += [(room, path, mutant) for mutant in mutants_of(path.read_bytes())]
    random.Random(seed).shuffle(population)
    print(
        f"{len(population)} mutants in {', '.join(rooms)}; {count} drawn with seed {seed}",
        flush=True,
    )
    drawn_mutants = []
    for room, path, mutant in population:
        if len(drawn_mutants) < count and mutant.is_another_program(path.read_bytes()):
            drawn_mutants.append((room, path, mutant))
    return drawn_mutants


def killed_in(log: Path | None) -> set[str]:
    """Read the mutants that an earlier run of the same sample killed."""
    if log is None or not log.exists():
        return set()
    lines = map(json.loads, log.read_text().splitlines())
    return {line["mutant"] for line in lines if line["outcome"].startswith("killed")}


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rooms", nargs="+", help="folders of modules, or modules")
    parser.add_argument("--mutants", type=int, default=150, help="how many are drawn")
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    parser.add_argument("--minutes", type=float, default=60.0, help="none begins after these")
    parser.add_argument("--all-tests", action="store_true", help="run all on what survives")
    parser.add_argument(
        "--log", help="gets a line of JSON for each mutant; what it says is killed is not run again"
    )
    return parser.parse_args()


def main() -> int:
    """Draw, run, print."""
    options = parse()
    rooms = [str(Path(room).resolve().relative_to(ROOT)) for room in options.rooms]
    log = Path(options.log).resolve() if options.log else None
    with copy_of_the_tree() as folder:
        drawn_mutants = draw(rooms, options.mutants, options.seed)
        watches: dict[str, Watch] = {}
        until, counts = time.monotonic() + 60 * options.minutes, Counter()
        killed_before = killed_in(log)
        for room, path, mutant in sorted(drawn_mutants, key=lambda row: row[1]):
            if time.monotonic() > until:
                break
            source = path.read_bytes()
            words = f"{path}:{mutant.line}: {mutant.described(source)}"
            if words in killed_before:
                counts["killed"] += 1
                continue
            if room not in watches:
                watches[room] = watch_room(folder / "tree", room)
            watch = watches[room]
            tests = watch.tests_of(str(path), mutant.function)
            with Mutated(path, mutant.applied_to(source)):
                outcome = run_tests(tests, watch.limit(tests), folder / "log")
                if outcome == "survived" and options.all_tests and len(tests) < len(watch.seconds):
                    tests = watch.tests_of("", 0)
                    outcome = run_tests(tests, watch.limit(tests), folder / "log")
            counts[outcome.split()[0]] += 1
            if outcome == "survived":
                print(words, flush=True)
            if log is not None:
                line = {"outcome": outcome, "mutant": words, "tests": len(tests)}
                with log.open("a") as file:
                    file.write(json.dumps(line) + "\n")
        n_run = sum(counts.values())
        print(f"{n_run} of {len(drawn_mutants)} mutants run, {counts['killed']} killed, "
              f"{counts['survived']} survived: {counts['killed'] / max(n_run, 1):.0%}")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
