"""Settings that several commands share."""

from dataclasses import dataclass

from looped.grid.studies import STUDIES
from looped.rules import check_choices, require, require_one_of, require_whole, setting

ENGINES = ("local", "ray")
RESUMES = ("auto", "same_code", "never")
TRACKINGS = ("online", "offline")


@dataclass(frozen=True)
class RunOptions:
    """What a training is told besides what to train."""

    resume: str = setting(
        "auto",
        "auto: go on from the last checkpoint; same_code: if this commit left it; "
        "never: begin anew",
        RESUMES,
    )
    evaluate: bool = setting(True, "evaluate beyond b, against the baselines")
    b_max: int = setting(50, "loops to evaluate to, where that is more than b")
    n_prompts: int | None = setting(
        None, "held-out prompts; auto: 12800, fewer where the training is short"
    )
    register: bool = setting(True, "register the trained model")
    tracking: str = setting(
        "online", "offline: into the journal alone, for import_runs to tell MLflow", TRACKINGS
    )
    runs_dir: str = setting("runs", "folder of journals and checkpoints")

    def __post_init__(self) -> None:
        check_choices(self)
        require_whole("b_max", self.b_max, 1)
        if self.n_prompts is not None:
            require_whole("n_prompts", self.n_prompts, 2)

    @property
    def loops_to_evaluate(self) -> int:
        """Loops to evaluate to, where that is more than b; 0 for no evaluation beyond it."""
        return self.b_max if self.evaluate else 0


@dataclass(frozen=True)
class GridOptions:
    """How to work through a grid."""

    study: str = setting(
        "full", f"{', '.join(STUDIES)}, or several with commas; full: the lists as given"
    )
    dry_run: bool = setting(False, "print the trainings and an estimate, and train nothing")
    retry_failed: bool = setting(False, "train again what failed before")
    replicas: str = setting("auto", "runs that train as one program: auto, off or how many")
    engine: str = setting("local", "local: processes of this machine; ray: a Ray cluster", ENGINES)
    workers: int | None = setting(None, "processes; auto: one per core, or one that has the GPU")
    ray_address: str = setting("auto", "of the Ray cluster; auto: the one this machine is of")
    ray_cpus: int = setting(1, "cores that Ray gives a group of trainings")
    ray_gpus: float | None = setting(None, "GPUs that Ray gives it; auto: 1 if any node has one")

    def __post_init__(self) -> None:
        check_choices(self)
        for study in self.study.split(","):
            require_one_of("study", study, STUDIES)
        is_number = self.replicas.isdecimal() and int(self.replicas) > 0
        rule = "replicas must be auto, off or a whole number of at least 1"
        require(self.replicas in ("auto", "off") or is_number, rule, self.replicas)
        require_whole("ray_cpus", self.ray_cpus, 1)
        if self.workers is not None:
            require_whole("workers", self.workers, 1)
        if self.ray_gpus is not None:
            require(self.ray_gpus >= 0, "ray_gpus must be at least 0", self.ray_gpus)
