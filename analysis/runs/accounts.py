"""What is said of some runs, in a few words."""

from collections import Counter
from collections.abc import Sequence

from analysis.runs.logged_run import LoggedRun
from looped.names import Convergence, Weights


def convergence_account(runs: Sequence[LoggedRun]) -> str:
    """Count runs by whether they still learned: ``18 learning, 1 settled, 17 cannot tell``."""
    counts = Counter(run.convergence for run in runs)
    states = (Convergence.LEARNING, Convergence.SETTLED, Convergence.CANNOT_TELL)
    return ", ".join(f"{counts[state]} {state}" for state in states if counts[state])


def weights_account(runs: Sequence[LoggedRun]) -> str:
    """Say in a few words whose E it is, and whether there was a choice."""
    weights = runs[0].weights
    what = "the last step's weights" if weights == Weights.LAST else "the mean of the last weights"
    n_tail = sum(run.has_tail for run in runs)
    if weights == Weights.TAIL or n_tail == 0:
        return f"E of {what}"
    return f"E of {what} (weights={weights}; {n_tail} of {len(runs)} hold their mean as well)"


def prompts_account(runs: Sequence[LoggedRun]) -> str:
    """Say whether runs can be compared prompt by prompt, and what it means where they cannot."""
    n_kept = sum(run.prompt_errors is not None for run in runs)
    if n_kept == len(runs):
        return "all kept their error on each held-out prompt, which claims compare one by one"
    if not n_kept:
        return (
            "none kept its error on each held-out prompt (evaluate-extrapolation keeps it): "
            "intervals of claims hold what seeds do, and no error of the prompts"
        )
    return (
        f"{n_kept} of {len(runs)} kept their error on each held-out prompt "
        "(evaluate-extrapolation keeps it): intervals of claims about the others hold what seeds "
        "do, and no error of the prompts"
    )
