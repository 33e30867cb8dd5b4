"""Train one looped transformer and log it to MLflow."""

import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from entrypoints import arguments
from entrypoints.stopping import StopRequest
from looped.config import TrainConfig
from looped.rules import check_choices, require_whole, setting

if TYPE_CHECKING:
    from looped.tracking import Tracker
    from looped.training import Trained

RESUMES = ("auto", "never")


@dataclass(frozen=True)
class TrainOptions:
    """What ``train`` is told besides what to train."""

    resume: str = setting(
        "auto", "auto: go on from the last checkpoint; never: begin anew", RESUMES
    )
    evaluate: bool = setting(True, "evaluate beyond b, against the baselines")
    b_max: int = setting(50, "loops to evaluate to, where that is more than b")
    register: bool = setting(True, "register the trained model")
    runs_dir: str = setting("runs", "folder of journals and checkpoints")

    def __post_init__(self) -> None:
        check_choices(self)
        require_whole("b_max", self.b_max, 1)


def main() -> int:
    """Train, evaluate, record; return the exit code."""
    config, options = arguments.parse("train", __doc__, TrainConfig, TrainOptions)
    should_stop = StopRequest()
    logging.basicConfig(format="%(message)s")
    # torch and MLflow take seconds to load: only once the arguments are known to be good
    from entrypoints import evaluation_files
    from entrypoints.progress import Progress
    from looped import notes, tracking, training
    from looped.curves import DivergedError
    from looped.folder import FolderInUseError, RunFolder

    try:
        config = training.resolve(config)
        folder = RunFolder(Path(options.runs_dir), config, fresh=options.resume == "never")
        tracker = tracking.open_run(config, folder)
    except (ValueError, FolderInUseError, tracking.TrackingError) as error:
        return arguments.complain("train", error)

    progress = Progress(config.name, config.steps)
    status, reason, note, code, registered = "FAILED", "", "", 1, ""
    try:
        trained = training.train(
            config,
            folder,
            progress,
            should_stop,
            b_max=options.b_max if options.evaluate else 0,
            watch_evaluation=progress.evaluated,
        )
        if options.evaluate:
            record = trained.evaluation.record(config.b)
            cell = (config.task_config, config.n_examples)
            scores = evaluation_files.compare(
                folder.path, config.name, config.b, *cell, record, Path(options.runs_dir)
            )
            tracker.log_baselines(*cell, record, scores)
        note = notes.describe(trained, folder.path, tracking.git_state())
        status, reason, code = "FINISHED", notes.result(trained), 0
        if options.register:
            registered = _register(tracker, trained)
    except training.Stopped as error:
        status, reason, code = "KILLED", str(error), should_stop.exit_code
    except DivergedError as error:
        reason = str(error)
    except BaseException as error:
        reason = repr(error)
        raise
    finally:
        progress.close()
        try:
            tracker.finish(status, reason, note)
        except tracking.TrackingError as error:
            code = arguments.complain("train", error)
        folder.close()
    print(f"{config.name}: {reason}", file=sys.stderr if code else sys.stdout)
    if status == "FINISHED":
        print(f"look at it: {tracker.where_to_look}")
    if registered:
        print(f'load it: mlflow.pyfunc.load_model("{registered}")')
    return code


def _register(tracker: "Tracker", trained: "Trained") -> str:
    """Register the model and return its URI; a registry that refuses takes nothing from the run."""
    from looped import registry

    folder, nmse = tracker.folder.path / "model", trained.outcome["held_out/nmse"]
    try:
        own = registry.register(tracker.client, tracker.run_id, folder, trained.config, nmse)
    except registry.RegistryError as error:
        arguments.complain("train", error)
        return ""
    return f"models:/{own.name}/{own.version}"


if __name__ == "__main__":
    sys.exit(main())
