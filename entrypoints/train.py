"""Train one looped transformer and log it to MLflow."""

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from entrypoints.command_line import arguments, outcome, terminal
from looped.config import TrainConfig
from looped.grid.options import RunOptions
from looped.grid.places import where_kept
from looped.grid.stopping import StopRequest

if TYPE_CHECKING:
    from looped.tracking.stores.store import Store
    from looped.training.watcher import Ending


@outcome.command("train")
def main(result: outcome.Outcome) -> int:
    """Train, evaluate, record; return the exit code."""
    config, options = arguments.parse("train", __doc__, TrainConfig, RunOptions)
    stop_request = StopRequest()
    logging.basicConfig(format="%(message)s")
    arguments.remark(where_kept(options.runs_dir), sys.stderr)
    # torch and MLflow take seconds to load: only once the arguments are known to be good
    from looped.grid.run_trainings import run_trainings
    from looped.training.memory_needs import require_room_to_evaluate
    from looped.training.progress import Progress
    from looped.training.resolve import resolve

    class Terminal(Progress):
        """Shows the training, and stops it when a signal came."""

        def should_stop(self) -> bool:
            return stop_request()

    try:
        config = resolve(config)
        require_room_to_evaluate(config, options.loops_to_evaluate, options.n_prompts)
    except ValueError as error:
        return arguments.complain("train", error)
    terminal = Terminal()
    try:
        (ending,) = run_trainings([config], options, terminal)
    finally:
        terminal.close()
    result.tell(
        training=config.name,
        status=ending.status,
        reason=ending.reason,
        numbers=ending.numbers,
        model=ending.registered or None,
        files={"folder": Path(ending.folder).absolute()} if ending.folder else {},
    )
    if ending.run_id and result.is_asked:
        _tell_place(result, ending.run_id)
    for problem in ending.problems:
        arguments.complain("train", problem)
    if ending.status == "REFUSED":
        return arguments.complain("train", ending.reason)
    is_finished = ending.status == "FINISHED"
    print(f"{config.name}: {ending.reason}", file=sys.stdout if is_finished else sys.stderr)
    if is_finished and ending.where_to_look:
        print(ending.where_to_look)
    if is_finished and options.tracking == "offline":
        print(f"tell MLflow of it: mlflow run . -e import_runs -P path={options.runs_folder}")
    if ending.registered:
        print(f'load it: mlflow.pyfunc.load_model("{ending.registered}")')
    if ending.status == "KILLED":
        print("give the same command to go on", file=sys.stderr)
        return stop_request.exit_code
    is_well = is_finished and (ending.is_told or options.tracking == "offline")
    if is_well and ending.unregistered:
        return arguments.complain("train", _unregistered(ending))
    return 0 if is_well else 1


def _unregistered(ending: "Ending") -> str:
    """Say that a training is finished and its model not registered, and what registers it."""
    from mlflow.exceptions import MlflowException

    from looped.tracking.stores.remedy import import_command

    folder = Path(ending.folder).absolute()
    try:
        command = import_command(_store_of(ending.run_id), folder)
    except MlflowException:  # the place of the experiment is then the reader's to name
        command = f"mlflow run . -e import_runs -P path={folder}"
    name = ending.config.name
    return f"{name} is finished, and {command} registers its model later: {ending.unregistered}"


def _store_of(run_id: str) -> "Store":
    from mlflow.tracking import MlflowClient

    from looped.tracking.stores.store import Store

    client = MlflowClient()
    return Store(client, str(client.get_run(run_id).info.experiment_id))


def _tell_place(result: outcome.Outcome, run_id: str) -> None:
    """Say where the run is, if MLflow is still there."""
    from mlflow.exceptions import MlflowException

    from looped.tracking.ui import links

    try:
        store = _store_of(run_id)
        result.tell_place(store, run_id, links.of_training(store, run_id))
    except MlflowException:  # which was said where it was to be told
        result.tell(run_id=run_id)


if __name__ == "__main__":
    sys.exit(terminal.run(main))
