"""Settings of the grid command."""

from dataclasses import dataclass

from looped.rules import check_choices, require, require_one_of, require_whole, setting
from looped.studies import STUDIES

ENGINES = ("local", "ray")


@dataclass(frozen=True)
class GridOptions:
    """How to work through the cells."""

    study: str = setting(
        "full", f"{', '.join(STUDIES)}, or several with commas; full: the lists as given"
    )
    dry_run: bool = setting(False, "print the cells and an estimate, and train nothing")
    retry_failed: bool = setting(False, "train again what failed before")
    replicas: str = setting("auto", "cells that train as one program: auto, off or how many")
    engine: str = setting("local", "local: processes of this machine; ray: a Ray cluster", ENGINES)
    workers: int | None = setting(None, "processes; auto: one per core, or one that has the GPU")
    ray_address: str = setting("auto", "of the Ray cluster; auto: the one this machine is of")
    ray_cpus: int = setting(1, "cores that Ray gives a group of cells")
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
