"""What a grid says last: where its trainings stand, and what the store lacks."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from looped.grid.records.balance import Balance
from looped.grid.records.ledger import DONE, UNTOLD, Ledger
from looped.grid.records.standing import FAILED_BEFORE
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


def say_last(
    ledger: Ledger,
    stop_request: StopRequest,
    balance: Balance,
    import_command: str,
    retry_failed: bool,
) -> int:
    """Say what came, what the store lacks last; return the exit code.

    Args:
        ledger: of the grid.
        stop_request: whether it was stopped.
        balance: what was counted at its end.
        import_command: tells the store what it lacks.
        retry_failed: whether what failed before was tried again.
    """
    print(ledger.summary(), flush=True)
    counts = ledger.counts
    if counts.get(FAILED_BEFORE) and not retry_failed:
        print("-P retry_failed=true tries again what failed before", file=sys.stderr)
    is_stopped = stop_request() and not ledger.is_done
    if is_stopped:
        print("give the same command to go on", file=sys.stderr)
    n_untold = counts.get(UNTOLD, 0)
    if balance.problem:
        print(f"MLflow may not hold all of it ({balance.problem}): {import_command} tells it "
              "what it lacks", file=sys.stderr)  # fmt: skip
    elif n_untold:
        n_done = sum(counts.get(state, 0) for state in (*DONE, UNTOLD))
        print(f"MLflow holds {n_done - n_untold:,} of the {n_done:,} trainings that are done: "
              f"{import_command} tells it the others", file=sys.stderr)  # fmt: skip
    elif balance.n_missing:
        print(f"MLflow does not hold {balance.n_missing:,} of the trainings any more, and no "
              "journal here does: the same command trains them", file=sys.stderr)  # fmt: skip
    if is_stopped:
        return stop_request.exit_code
    if ledger.is_under_way:
        print("the same command says what stands, and tells MLflow what has ended", flush=True)
        return 1 if balance.problem else 0
    return 0 if ledger.is_done and not balance.problem else 1
