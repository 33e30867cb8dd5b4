"""Which weights of a training E is taken from: the last step's, or their mean over the tail.

Both were evaluated on the same prompts. The mean errs less (``docs/convergence.md``), but
trainings of older versions have none: runs of one law or one report take the same, and it is said
which.
"""

from collections.abc import Sequence

from mlflow.tracking import MlflowClient

from analysis.runs.load import with_tails
from analysis.runs.logged_run import LoggedRun
from analysis.runs.selection import SelectionError
from looped.names import Weights

AUTO = "auto"


def choose_weights(choice: str, runs: Sequence[LoggedRun]) -> str:
    """Decide which weights' evaluations some runs are compared by.

    Args:
        choice: one of ``Weights``, or ``auto``: the mean where all runs have it.
        runs: that are to be compared.

    Raises:
        SelectionError: the mean is asked for, and some runs have none.

    Example:
        >>> choose_weights("auto", [])
        'last'
    """
    n_without = sum(not run.has_tail for run in runs)
    if choice == Weights.TAIL and n_without:
        raise SelectionError(
            f"weights={Weights.TAIL} is for runs that all hold the mean of their last weights "
            f"(trained with average=tail), got {n_without} of {len(runs)} without "
            f"(weights={Weights.LAST} takes all)"
        )
    has_all = bool(runs) and not n_without
    return (Weights.TAIL if has_all else Weights.LAST) if choice == AUTO else choice


def of_weights(
    client: MlflowClient, choice: str, compared_runs: Sequence[LoggedRun], runs: Sequence[LoggedRun]
) -> list[LoggedRun]:
    """Return runs with the evaluation of the weights that suit those of them that were chosen.

    Where that is the mean, evaluated runs without one are left out.

    Args:
        client: of the store that holds them.
        choice: see ``choose_weights``.
        compared_runs: that are to be compared.
        runs: all that were read, of the last step's weights.

    Raises:
        SelectionError: see ``choose_weights``.
    """
    if choose_weights(choice, compared_runs) == Weights.LAST:
        return list(runs)
    suitable_runs = [run for run in runs if run.has_tail or not run.is_evaluated]
    runs_with_tail = [run for run in suitable_runs if run.has_tail]
    of_tail = {run.run_id: run for run in with_tails(client, runs_with_tail)}
    return [of_tail.get(run.run_id, run) for run in suitable_runs]
