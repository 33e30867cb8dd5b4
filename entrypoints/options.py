"""Settings that several commands share."""

from dataclasses import dataclass

from looped.rules import check_choices, require_whole, setting

RESUMES = ("auto", "same_code", "never")
TRACKINGS = ("online", "offline")


@dataclass(frozen=True)
class CellOptions:
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
