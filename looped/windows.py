"""Which loops of a training step its loss sees, and how far its gradient goes back.

Two choices that Yang et al. (arXiv:2311.12424) make with one number, their T: the loss is the mean
over the last ``loss`` loops, and the state is cut in front of every ``grad``-th loop counted from
the last, so that a gradient goes back through at most so many loops. With ``loss`` up to ``grad``
the loops before the last ``grad`` run without a gradient; with more, an earlier error has its
gradient within its own stretch of ``grad`` loops: had it none, it would train nothing, and the
loss would see the last stretch alone whatever was asked for.
"""

from typing import NamedTuple

from looped.rules import require, require_whole

FORMER_WINDOW = 15
"""What automatic once meant for both, or all loops where they are fewer. Recipes from then name no
window, which therefore still means this one."""

ALL = "all"


TAIL_SHARE = 10
"""The tail of a training, whose weights are averaged, is one of so many parts of its steps."""


def tail_start(n_steps: int) -> int:
    """Return the first step, counted from 1, of the tail of a training of so many steps."""
    return n_steps - -(-n_steps // TAIL_SHARE) + 1


class Windows(NamedTuple):
    """The two windows of steps that run as many loops as either or more.

    Example:
        >>> windows = Windows(loss=6, grad=4)
        >>> windows.tracked(10)  # two stretches of four hold the six that the loss sees
        8
        >>> [loop for loop in range(1, 11) if windows.cuts_before(loop, 10)]
        [3, 7]
    """

    loss: int
    grad: int

    def tracked(self, n_loops: int) -> int:
        """Count the last loops that run with a gradient: whole stretches, or all loops."""
        return min(-(-self.loss // self.grad) * self.grad, n_loops)

    def cuts_before(self, loop: int, n_loops: int) -> bool:
        """Tell whether no gradient goes back from loop ``loop`` (from 1 on) to the one before."""
        return (n_loops - loop + 1) % self.grad == 0


Window = int | float
"""As it is asked for: so many loops, or a share of b between 0 and 1."""


def check_window(name: str, window: Window | None) -> None:
    """Require a whole number from 1 on, or a share of b between 0 and 1; None is automatic."""
    if isinstance(window, float) and not (window >= 1 and window.is_integer()):
        rule = f"{name} must be a whole number of at least 1, or a share of b between 0 and 1"
        require(0 < window < 1, rule, window)
    elif window is not None:
        require_whole(name, int(window) if isinstance(window, float) else window, 1)


def recipe_of(
    loss: Window | str, grad: Window | str, longest: int
) -> dict[str, Window | str | None]:
    """Write windows as recipes have them, so that those written before there were two still hold.

    Args:
        loss: as asked for, ``ALL`` where it takes in every loop.
        grad: the same.
        longest: loops of the longest step.
    """
    if loss != grad:
        return {"loop_window": None, "loss_window": loss, "grad_window": grad}
    is_former = longest <= FORMER_WINDOW if loss == ALL else loss == FORMER_WINDOW
    return {"loop_window": None if is_former else loss}
