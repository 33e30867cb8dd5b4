"""Each fault, done several times: what was tried, and what was lost by it."""

import os
import random
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from entrypoints.benchmarks.faults.inspection import losses, weights_of
from entrypoints.benchmarks.faults.workshop import (
    Ended,
    Workshop,
    finish,
    kill_at,
    moments,
    temporary_folder,
)
from looped.tracking.stores.store import ANSWER_SECONDS

FEW = {"sizes": "tiny", "bs": "1,2", "plateaued": "true", "resamples": 100}


@dataclass
class Account:
    """What a scenario tried, and what was lost.

    Attributes:
        fault: in words.
        tries: faults done.
        lost: things lost, a line each.
        skipped: why it was not tried; empty if it was.
    """

    fault: str
    tries: int = 0
    lost: list[str] = field(default_factory=list)
    skipped: str = ""

    def judge(self, workshop: Workshop, repair: Ended) -> None:
        """Add what is lost once the same command was given again."""
        if repair.code != 0 or repair.has_traceback:
            line = (repair.output.strip().splitlines() or ["silently"])[-1]
            self.lost.append(f"the same command ending with {repair.code}: {line}")
        self.lost += losses(workshop.uri, workshop.runs_dir)


@dataclass(frozen=True)
class Plan:
    """How much to try: kills of each command, seconds that a server is away, the dice."""

    kills: int
    away_seconds: float
    dice: random.Random


def kill_train(plan: Plan) -> Account:
    """Kill a training at random moments; the same command ends with the same weights."""
    account = Account("`train` killed, given again")
    with temporary_folder() as folder:
        whole = Workshop(folder)
        start = time.monotonic()
        finish(whole.start_training())
        seconds, expected = time.monotonic() - start, weights_of(whole.runs_dir)
    with temporary_folder() as folder:
        workshop = Workshop(folder)
        for moment in moments(plan.dice, seconds, plan.kills):
            account.tries += kill_at(workshop.start_training(), moment)
        account.judge(workshop, finish(workshop.start_training()))
        if weights_of(workshop.runs_dir) != expected:
            account.lost.append("weights differ from those of a training that was not killed")
    return account


def kill_first_seconds(plan: Plan) -> Account:
    """Kill the very first command while it makes the store; the next one works."""
    account = Account("first command on no store killed within 6 s")
    for moment in moments(plan.dice, 6.0, plan.kills):
        with temporary_folder() as folder:
            workshop = Workshop(folder)
            account.tries += kill_at(workshop.start_training(steps=50), moment)
            account.judge(workshop, finish(workshop.start_training(steps=50)))
    return account


def kill_grid(plan: Plan) -> Account:
    """Kill a grid and its workers; the same command finishes it without a double."""
    account = Account("`grid` of four on two workers killed, given again")
    with temporary_folder() as folder:
        workshop = Workshop(folder)
        for moment in moments(plan.dice, 12.0, plan.kills):
            account.tries += kill_at(workshop.start_grid(steps=1500), moment)
        account.judge(workshop, finish(workshop.start_grid(steps=1500)))
    return account


def kill_import(plan: Plan) -> Account:
    """Kill an import; the next one tells every run once."""
    account = Account("`import_runs` killed, given again")
    with temporary_folder() as folder:
        workshop = Workshop(folder)
        finish(workshop.start_grid(tracking="offline"))
        settings: Mapping[str, object] = {"path": workshop.runs_dir}
        for moment in moments(plan.dice, 10.0, plan.kills):
            account.tries += kill_at(workshop.start("import_runs", **settings), moment)
        account.judge(workshop, workshop.run("import_runs", **settings))
    return account


def kill_evaluate(plan: Plan) -> Account:
    """Kill an evaluation; the next one evaluates, baselines are scored and logged once."""
    account = Account("`evaluate_extrapolation` killed, given again")
    with temporary_folder() as folder:
        workshop = Workshop(folder)
        finish(workshop.start_grid(evaluate="false"))
        settings: Mapping[str, object] = {
            "b_max": 20,
            "n_prompts": 2560,
            "runs_dir": workshop.runs_dir,
        }
        for moment in moments(plan.dice, 12.0, plan.kills):
            process = workshop.start("evaluate_extrapolation", **settings)
            account.tries += kill_at(process, moment)
        account.judge(workshop, workshop.run("evaluate_extrapolation", **settings))
    return account


def kill_fit(plan: Plan) -> Account:
    """Kill a fit; the next one fits, and no run stays RUNNING."""
    account = Account("`fit_scaling` killed, given again")
    with temporary_folder() as folder:
        workshop = Workshop(folder)
        grid = {"bs": "1,2,4", "sizes": "tiny,small"}
        finish(workshop.start_grid(**grid))
        settings = {**FEW, **grid, "runs_dir": workshop.runs_dir}
        for moment in moments(plan.dice, 12.0, plan.kills):
            account.tries += kill_at(workshop.start("fit_scaling", **settings), moment)
        account.judge(workshop, workshop.run("fit_scaling", **settings))
    return account


def crowd(plan: Plan) -> Account:
    """Start eight trainings, two evaluations and a fit at once on no store."""
    account = Account("eight trainings, two evaluations and a fit at once on no store", tries=11)
    with temporary_folder() as folder:
        workshop = Workshop(folder)
        trainings = [workshop.start_training(seed=seed) for seed in range(8)]
        readers = [
            workshop.start("evaluate_extrapolation", runs_dir=workshop.runs_dir),
            workshop.start("evaluate_extrapolation", runs_dir=workshop.runs_dir),
            workshop.start("fit_scaling", runs_dir=workshop.runs_dir),
        ]
        for process in readers:
            ending = finish(process)
            if ending.has_traceback:
                account.lost.append(f"a reading command: {ending.output.strip().splitlines()[-1]}")
        endings = [finish(process) for process in trainings]
        for ending in endings:
            account.judge(workshop, ending) if ending is endings[-1] else None
            if ending.code != 0:
                account.lost.append(f"a training ending with {ending.code}")
    return account


def server_away(plan: Plan) -> Account:
    """Take the server away in the middle of a training, for a while and to its end."""
    account = Account(f"server away for {plan.away_seconds:g} s during a training")
    with temporary_folder() as folder:
        port = _free_port()
        workshop = Workshop(folder, f"http://127.0.0.1:{port}")
        with _server(folder, port):
            process = workshop.start_training(steps=8_000, checkpoint_seconds=1)
            _wait_for_records(workshop, 20)
        account.tries = 1
        time.sleep(plan.away_seconds)
        with _server(folder, port):
            ending = finish(process)
            if ending.has_traceback:
                account.lost.append("a traceback while the server was away")
            repair = workshop.run("import_runs", path=workshop.runs_dir)
            account.judge(workshop, repair)
    return account


def disk_full(plan: Plan) -> Account:
    """Fill the disk that holds runs and store in the middle of a training."""
    account = Account("disk of runs and store fills up during a training")
    with temporary_folder() as folder:
        mounted = folder / "small"
        mounted.mkdir()
        words = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(mounted)]
        if os.getuid() != 0 or subprocess.run(words, capture_output=True, check=False).returncode:
            account.skipped = "needs the right to mount a small disk"
            return account
        try:
            workshop = Workshop(mounted)
            process = workshop.start_training(steps=100_000)
            _wait_for_records(workshop, 20)
            ballast = mounted / "ballast"
            with suppress(OSError), ballast.open("wb") as file:
                while True:
                    file.write(bytes(2**16))
                    file.flush()
            account.tries = 1
            ending = finish(process)
            if ending.code == 0:
                account.lost.append("a training on a full disk ending with 0")
            if ending.has_traceback:
                account.lost.append("a traceback on a full disk")
            ballast.unlink(missing_ok=True)
            account.judge(workshop, finish(workshop.start_training(steps=400, seed=7)))
            account.lost = [line for line in account.lost if "did not finish" not in line]
        finally:
            subprocess.run(["umount", "-l", str(mounted)], capture_output=True, check=False)
    return account


SCENARIOS: Mapping[str, Callable[[Plan], Account]] = {
    "train": kill_train,
    "start": kill_first_seconds,
    "grid": kill_grid,
    "import": kill_import,
    "evaluate": kill_evaluate,
    "fit": kill_fit,
    "crowd": crowd,
    "server": server_away,
    "disk": disk_full,
}
"""What can be tried, by name, in the order in which it is."""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for_records(workshop: Workshop, count: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        journals = list(workshop.runs_dir.glob("*/journal.jsonl"))
        if sum(path.read_bytes().count(b"\n") for path in journals) >= count:
            return
        time.sleep(0.05)
    raise TimeoutError(f"no training came to {count} records in two minutes")


@contextmanager
def _server(folder: Path, port: int) -> Iterator[None]:
    """Run an MLflow server on a database in the folder."""
    words = ["-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"]
    words += ["--artifacts-destination", str(folder / "artifacts"), "--port", str(port)]
    with (folder / "server.log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, *words, "--workers", "1"],
            stdout=log, stderr=log, cwd=folder, start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            with suppress(OSError):
                url = f"http://127.0.0.1:{port}/health"
                urllib.request.urlopen(url, timeout=ANSWER_SECONDS).close()
                break
            time.sleep(0.2)
        yield
    finally:
        os.killpg(process.pid, 15)
        process.wait()
