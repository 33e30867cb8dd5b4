"""The mean of the weights over the last tenth of a training: its tail.

At a constant rate the weights never come to rest: the last step's are one draw of where they
wander, their mean lies between (Polyak and Juditsky 1992). It is kept beside the training, which
goes its way as if it were not.
"""

import torch
from torch import Tensor

from looped.windows import tail_start


class TailMean:
    """The mean of every replica's weights after each step of the tail.

    Args:
        flat: the weights, of shape (replica, weight); only their shape and place matter.
        n_steps: length of the training.

    Attributes:
        first_step: of the tail, counting from 1.
        mean: of the weights so far, of the shape of ``flat``, float32.
        is_whole: of each replica, whether no step of the tail is missing from its mean.

    Example:
        >>> weights = torch.zeros(1, 2)
        >>> tail = TailMean(weights, n_steps=20)
        >>> for step in range(1, 21):
        ...     tail.take_in(step, weights + step)
        >>> tail.first_step, tail.of_row(0)
        (19, tensor([19.5000, 19.5000]))
    """

    def __init__(self, flat: Tensor, n_steps: int) -> None:
        self.first_step = tail_start(n_steps)
        self.mean = torch.zeros_like(flat, requires_grad=False)
        self.is_whole = [True] * len(flat)
        self.n_taken = 0

    def set_step(self, steps_done: int) -> None:
        """Go on from a step; ``mean`` is put back by who kept it."""
        self.n_taken = max(0, steps_done - self.first_step + 1)

    @torch.no_grad()
    def take_in(self, step: int, flat: Tensor) -> None:
        """Take in the weights after a step; those of before the tail are passed over."""
        if step >= self.first_step:
            self.n_taken += 1
            self.mean.lerp_(flat, 1 / self.n_taken)  # the first one comes in to the bit

    def of_row(self, row: int) -> Tensor | None:
        """Return a replica's mean; None where steps are missing, or there were none."""
        return self.mean[row] if self.n_taken and self.is_whole[row] else None
