"""Fill a store on PostgreSQL with thousands of finished trainings, and time what reads them.

    MLFLOW_TRACKING_URI=postgresql+psycopg2://... python -m entrypoints.benchmarks.long_lists 10000

``long_store`` copies them into MLflow's tables, in an experiment named after their number, once.
Then each command runs as a process of its own: its time, its processor time and
PostgreSQL's, and the most memory that it held with its children.

``planned`` in place of a command plans grids of up to 100,000 trainings against that store, without
imports and without measuring how fast sizes train, and prints how time and memory grow.
"""

import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import mlflow
from mlflow.tracking import MlflowClient

from entrypoints.benchmarks import growth, timing
from entrypoints.benchmarks.long_store import LOG_EVERY, connect, fill
from entrypoints.benchmarks.timing import Probe
from looped.names import Variable

ROOT = Path(__file__).parents[2]
COMMANDS = ("fit_scaling", "report", "grid")
PLANNED = (1_000, 3_000, 10_000, 30_000, 100_000)


class Cost(NamedTuple):
    """What a command took: seconds, seconds of processor, those of PostgreSQL, GB at most."""

    wall: float
    processor: float
    server: float
    memory: float


def run(words: Sequence[str], variables: dict[str, str]) -> Cost:
    """Run a command to its end; return what it took.

    Raises:
        CalledProcessError: it failed.
    """
    peak, is_over = 0.0, threading.Event()
    server_before = server_seconds()
    start = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            words, cwd=ROOT, env=os.environ | variables, stdout=output, stderr=output
        )

        def watch() -> None:
            nonlocal peak
            while not is_over.wait(0.1):
                peak = max(peak, _memory_of(process.pid))

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        _, status, usage = os.wait4(process.pid, 0)
        is_over.set()
        watcher.join()
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, words, output.read())
    wall = time.perf_counter() - start
    return Cost(
        wall=wall,
        processor=usage.ru_utime + usage.ru_stime,
        server=server_seconds() - server_before,
        memory=max(peak, usage.ru_maxrss / 1e6),
    )


def server_seconds() -> float:
    """Add up what PostgreSQL's processes have taken so far; NaN where it is on another machine."""
    uri = str(mlflow.get_tracking_uri())
    with closing(connect(uri)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (backend,) = cursor.fetchone()
    try:
        parent = int(_stat_of(backend)[1])
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        # times of its own and of the children that have ended, then those of the children there
        ticks = sum(map(int, _stat_of(parent)[11:15]))
        for child in children:
            with suppress(FileNotFoundError, ProcessLookupError):  # it has ended since
                ticks += sum(map(int, _stat_of(int(child))[11:13]))
    except OSError:
        return math.nan
    return ticks / os.sysconf("SC_CLK_TCK")


def _stat_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _memory_of(pid: int) -> float:
    """Add up what a process and its children hold, in GB."""
    try:
        status = Path(f"/proc/{pid}/statm").read_text().split()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0.0
    here = int(status[1]) * os.sysconf("SC_PAGE_SIZE") / 1e9
    return here + sum(_memory_of(int(child)) for child in children)


def planned(n_trainings: int, experiment: str) -> Probe:
    """Plan a grid of so many trainings in this process, as its dry run does, at usual speeds.

    Returns:
        Seconds of processor, and the peak of memory beyond that before.
    """
    from analysis.claims.pilot import Pilot
    from analysis.claims.plan import plan_reading
    from analysis.runs.pilots import find_pilot
    from looped.grid.lists import Lists, cross
    from looped.grid.options import GridOptions, RunOptions
    from looped.grid.runner import GridRunner
    from looped.grid.timing.plan import usual_speed
    from looped.sizes import STUDY_SIZES

    os.environ[Variable.EXPERIMENT_NAME] = experiment
    lists = replace(
        Lists(), seeds=tuple(range(-(-n_trainings // 12))), log_every=(LOG_EVERY,), device=("cpu",)
    )
    MlflowClient().search_experiments(max_results=1)  # loads what MLflow needs
    mib_before, start = timing.peak_mib(), time.process_time()
    with tempfile.TemporaryDirectory() as runs_dir:
        options = RunOptions(runs_dir=runs_dir)
        runner = GridRunner(cross(lists)[:n_trainings], {}, GridOptions(), options)
        runner.planner.speeds = {size: usual_speed(size) for size in STUDY_SIZES}
        pilot = Pilot(*find_pilot(runner.configs, runner.store, runner.root, ROOT / "results"))
        runner.forecast(plan_reading(runner.configs, options.loops_to_evaluate, pilot))
    return Probe(time.process_time() - start, timing.peak_mib() - mib_before)


def print_growth(experiment: str) -> None:
    """Plan grids of rising numbers of trainings, and print how their cost grows."""
    print(f"{'planned':>12}{'processor s':>13}{'GB':>6}")
    seconds, memory = [], []
    for n_trainings in PLANNED:
        probe = timing.in_fresh_process(planned, n_trainings, experiment)
        seconds.append(probe.seconds)
        memory.append(probe.mib)
        print(f"{n_trainings:12,}{probe.seconds:13.1f}{probe.mib * 2**20 / 1e9:6.2f}", flush=True)
    for what, costs in (("seconds", seconds), ("memory", memory)):
        power = growth.exponent(PLANNED, costs)
        print(f"exponent of {what}, upper half: {power.value:.2f} ± {power.se:.2f}")


def main() -> None:
    """Fill the store with so many trainings and time the commands, or those that are named."""
    count, *names = sys.argv[1:]
    client = MlflowClient()
    start = time.perf_counter()
    experiment = fill(client, int(count))
    print(
        f"{int(count):,} trainings in {experiment}, filled in {time.perf_counter() - start:.0f} s"
    )
    if "planned" in names:
        print_growth(experiment)
        names.remove("planned")
        if not names:
            return
    seeds = ",".join(map(str, range(-(-int(count) // 12))))
    print(f"{'':12}{'wall s':>8}{'processor s':>13}{'PostgreSQL s':>14}{'GB':>6}")
    with tempfile.TemporaryDirectory() as runs_dir:
        for name in names or COMMANDS:
            further = ("--seeds", seeds, "--log_every", str(LOG_EVERY), "--device", "cpu",
                       "--dry_run", "true", "--runs_dir", runs_dir)  # fmt: skip
            words = [
                sys.executable,
                "-m",
                f"entrypoints.{name}",
                *(further if name == "grid" else ()),
            ]
            variables = {Variable.TRACKING_URI: str(mlflow.get_tracking_uri()),
                         Variable.EXPERIMENT_NAME: experiment}  # fmt: skip
            cost = run(words, variables)
            print(f"{name:12}{cost.wall:8.1f}{cost.processor:13.1f}{cost.server:14.1f}"
                  f"{cost.memory:6.2f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
