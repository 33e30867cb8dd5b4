"""What a grid says last: where its trainings stand, and what the store lacks."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from looped.config import TrainConfig
from looped.counting import counted
from looped.grid.records.balance import Balance
from looped.grid.records.ledger import DONE, UNTOLD, Ledger
from looped.grid.records.standing import FAILED_BEFORE, Standing
from looped.grid.stopping import StopRequest

if TYPE_CHECKING:
    from looped.tracking.stores.store import Store


def import_command_of(store: "Store | None", root: Path) -> str:
    """Write how to tell of the trainings later; asked for while MLflow is there."""
    if store is None:
        return ""
    from looped.tracking.stores.remedy import import_command
    from looped.tracking.stores.store import reachable

    with reachable():
        return import_command(store, root)


def shortfalls(ledger: Ledger, balance: Balance, import_command: str) -> list[str]:
    """Say in lines what was asked for and is not in MLflow, and what brings it there.

    Args:
        ledger: of the grid.
        balance: what was counted at its end.
        import_command: tells the store what it lacks.
    """
    lines = []
    counts = ledger.counts
    n_untold, reasons = counts.get(UNTOLD, 0), ledger.unregistered
    if balance.problem:
        lines.append(
            f"MLflow may not hold all of it ({balance.problem}): {import_command} tells it "
            "what it lacks"
        )
    elif n_untold:
        n_done = sum(counts.get(state, 0) for state in (*DONE, UNTOLD))
        lines.append(
            f"MLflow holds {n_done - n_untold:,} of the {n_done:,} trainings that are done: "
            f"{import_command} tells it the others"
        )
    elif balance.n_missing:
        lines.append(
            f"MLflow does not hold {balance.n_missing:,} of the trainings any more, and no "
            "journal here does: the same command trains them"
        )
    if reasons:
        lines.append(
            f"{counted(len(reasons), 'model')} of trainings that finished could not be "
            f"registered: {import_command} does it later; the first: {reasons[0]}"
        )
    return lines


def say_last(
    ledger: Ledger,
    stop_request: StopRequest,
    lines: Sequence[str],
    is_well: bool,
    retry_failed: bool,
) -> int:
    """Say what came, what the store lacks last; return the exit code.

    Args:
        ledger: of the grid.
        stop_request: whether it was stopped.
        lines: what the store lacks.
        is_well: whether MLflow holds all that it was told.
        retry_failed: whether what failed before was tried again.
    """
    print(ledger.summary(), flush=True)
    if ledger.counts.get(FAILED_BEFORE) and not retry_failed:
        print("-P retry_failed=true tries again what failed before", file=sys.stderr)
    is_stopped = stop_request() and not ledger.is_done
    if is_stopped:
        print("give the same command to go on", file=sys.stderr)
    for line in lines:
        print(line, file=sys.stderr)
    if is_stopped:
        return stop_request.exit_code
    if ledger.is_under_way:
        print("the same command says what stands, and tells MLflow what has ended", flush=True)
        return 0 if is_well else 1
    return 0 if ledger.is_done and is_well else 1


def summarise(
    store: "Store", configs: Sequence[TrainConfig], standings: Mapping[str, Standing]
) -> None:
    """Show the cells of a grid's trainings in MLflow; what fails there is a warning."""
    from looped.tracking.ui.cells import show_cells

    show_cells(store, configs, {standings[config.identity].run_id: config for config in configs})
