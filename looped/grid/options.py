"""Settings that several commands share."""

import os
from dataclasses import dataclass
from pathlib import Path

from looped.grid.engines.slurm.settings import SlurmSettings
from looped.grid.places import expanded, runs_folder
from looped.grid.studies import FILE_ENDING, STUDIES, left_to_study
from looped.grid.timing.duration import budget_seconds
from looped.rules import (
    check_choices,
    require,
    require_one_of,
    require_whole,
    setting,
    shortened,
)

MOST_LOOPS = 100_000
"""To which a model is evaluated: each loop of each prompt is computed and kept."""
MOST_PROMPTS = 10_000_000
MOST_PROCESSES = 10_000
MOST_TRAININGS = 1_000_000
"""Of one grid; each has a line in its table."""
LONGEST_PATH, LONGEST_PART = 3_500, 255  # bytes; Linux takes 4,095, and a run's files need some

ENGINES = ("local", "ray", "slurm")
RESUMES = ("auto", "same_code", "never")
TRACKINGS = ("online", "offline")


@dataclass(frozen=True)
class RunOptions:
    """What a training is told besides what to train."""

    resume: str = setting(
        "auto",
        "auto: resume from the last checkpoint; same_code: only if this commit, unedited since, "
        "wrote it; "
        "never: begin anew",
        RESUMES,
    )
    evaluate: bool = setting(True, "evaluate beyond b, against the baselines")
    b_max: int = setting(50, "loops to evaluate to, where that is more than b")
    n_prompts: int | None = setting(
        None,
        "held-out prompts; auto: 12800, fewer where the training is short; after b loops four "
        "times as many where that costs under a tenth of the training",
    )
    register: bool = setting(True, "register the trained model")
    tracking: str = setting(
        "online", "offline: into the journal alone, for import_runs to tell MLflow", TRACKINGS
    )
    runs_dir: str | None = setting(
        None, "folder of journals and checkpoints; auto: runs, beside the store if that is a file"
    )

    def __post_init__(self) -> None:
        check_choices(self)
        _require_in("b_max", self.b_max, 1, MOST_LOOPS)
        if self.n_prompts is not None:
            _require_in("n_prompts", self.n_prompts, 2, MOST_PROMPTS)
        require_path("runs_dir", self.runs_dir)

    @property
    def runs_folder(self) -> Path:
        """The folder of journals and checkpoints."""
        return runs_folder(self.runs_dir)

    @property
    def loops_to_evaluate(self) -> int:
        """Loops to evaluate to, where that is more than b; 0 for no evaluation beyond it."""
        return self.b_max if self.evaluate else 0


@dataclass(frozen=True)
class GridRunOptions(RunOptions):
    """What the trainings of a grid are told besides what to train."""

    evaluate: bool = left_to_study(RunOptions.__dataclass_fields__["evaluate"], True)
    b_max: int = left_to_study(RunOptions.__dataclass_fields__["b_max"], 50)
    register: bool = left_to_study(RunOptions.__dataclass_fields__["register"], True)


@dataclass(frozen=True)
class GridOptions:
    """How to work through a grid."""

    study: str = setting(
        "full",
        f"{', '.join(STUDIES)}, a file of settings (my_study.toml), or several with commas; full: "
        "the lists as given",
    )
    pair: str | None = setting(
        None, "lists that walk together instead of being crossed, as b,steps; auto: none"
    )
    cells: str | None = setting(
        None, "a table in CSV: columns are settings, rows are cells; auto: none"
    )
    budget: str | None = setting(
        None,
        "time to train for, as 8h, 90m, 1h30m or 2d: what fits by the forecast; auto: all",
    )
    dry_run: bool = setting(False, "print the trainings and an estimate, and train nothing")
    retry_failed: bool = setting(False, "train again what failed before")
    replicas: str = setting("auto", "runs that train as one program: auto, off or how many")
    engine: str = setting(
        "local",
        "local: processes of this machine; ray: a Ray cluster; slurm: jobs of its queue",
        ENGINES,
    )
    workers: int | None = setting(None, "processes; auto: one for each core, or for each GPU")
    ray_address: str = setting("auto", "of the Ray cluster; auto: the one this machine is of")
    ray_cpus: int = setting(1, "cores that Ray gives a group of trainings")
    ray_gpus: float | None = setting(None, "GPUs that Ray gives it; auto: 1 if any node has one")
    slurm: str | None = setting(
        None, "what a job asks for, such as partition=gpu,gpus_per_task=1,time=120"
    )
    wait: bool = setting(True, "false: submit to Slurm and return; again: say what stands")

    def __post_init__(self) -> None:
        check_choices(self)
        for study in self.study.split(","):
            if not study.endswith(FILE_ENDING):
                require_one_of("study", study, STUDIES)
        if self.budget is not None:
            budget_seconds(self.budget)
            rule = "a budget must be of engine=local, whose speed can be measured"
            require(self.engine == "local", rule, f"engine={self.engine}")
        is_short = self.replicas.isdecimal() and len(self.replicas) <= len(str(MOST_TRAININGS))
        is_number = is_short and 1 <= int(self.replicas) <= MOST_TRAININGS
        rule = f"replicas must be auto, off or a whole number from 1 to {MOST_TRAININGS:,}"
        require(self.replicas in ("auto", "off") or is_number, rule, shortened(self.replicas))
        _require_in("ray_cpus", self.ray_cpus, 1, MOST_PROCESSES)
        SlurmSettings.read(self.slurm)
        is_slurm = self.engine == "slurm"
        require(is_slurm or self.slurm is None, "slurm must come with engine=slurm", self.engine)
        require(is_slurm or self.wait, "wait=false must come with engine=slurm", self.engine)
        if self.workers is not None:
            _require_in("workers", self.workers, 1, MOST_PROCESSES)
        if self.ray_gpus is not None:
            rule = f"ray_gpus must lie in [0, {MOST_PROCESSES:,}]"
            require(0 <= self.ray_gpus <= MOST_PROCESSES, rule, self.ray_gpus)


def require_path(name: str, path: str | None) -> None:
    """Require a path that is one line and that a file system takes; None is left to choose."""
    if path is None:
        return
    require("\n" not in path and "\0" not in path, f"{name} must be one line", shortened(path))
    rule = (
        f"{name} must be a path of at most {LONGEST_PATH:,} characters, and {LONGEST_PART} a part"
    )
    longest_part = max((len(os.fsencode(part)) for part in path.split("/")), default=0)
    fits = len(os.fsencode(path)) <= LONGEST_PATH and longest_part <= LONGEST_PART
    require(fits, rule, shortened(path))
    expanded(path)


def _require_in(name: str, came: int, least: int, most: int) -> None:
    require_whole(name, came, least)
    require(came <= most, f"{name} must be at most {most:,}", shortened(f"{came}"))
