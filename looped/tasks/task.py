"""What every function class has: how one f per prompt is drawn, and a step's prompts of it.

A batch is a pure function of (task, seed, step): no state is kept, so training resumes
anywhere and every ``b`` sees the same data. On the CPU the numbers come from NumPy's
Philox, on a GPU from CUDA's; each is pure, the two differ from one another.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor

from looped.draws import Draws
from looped.tasks.settings import TaskSetting
from looped.tasks.task_config import TaskConfig


class Task:
    """A function class.

    A subclass says how one f per prompt is drawn and what it is at the x's, or, where the x's
    tell of f, how the points are drawn; all work on a whole batch at once. One that is not of this
    package says as well what ``TASK_KINDS`` says of the others, and may have a method
    ``bayes(xs, ys)`` that answers with the best possible predictions, of shape (batch,).

    Example:
        >>> import torch
        >>> from looped import make_task, register_task
        >>> class Sine(Task):
        ...     title = "sines"
        ...     def draw(self, draws, batch):
        ...         return draws.normal(batch, self.n_dims)
        ...     def evaluate(self, params, xs):
        ...         return 2**0.5 * torch.sin(9 * torch.einsum("bpd,bd->bp", xs, params))
        >>> register_task(Sine, "sine").startswith("Sine-")
        True
        >>> xs, ys = make_task("sine", n_dims=3).batch(seed=7, step=0, batch_size=8, n_points=16)
        >>> tuple(xs.shape), tuple(ys.shape)
        ((8, 16, 3), (8, 16))
    """

    noise_variance = 0.0
    """The part of Var(y) = 1 that no predictor can know."""

    title: ClassVar[str] = ""
    """In a sentence; settings stand in braces."""

    settings: ClassVar[Sequence[TaskSetting]] = ()
    """Those besides ``n_dims``; in methods they are ``self.config.<name>``."""

    baselines: ClassVar[Sequence[str | Callable[..., Tensor]]] = (
        "nearest_neighbours",
        "least_squares",
    )
    """Names of ``evaluation.baselines.BASELINES``, or functions of xs and ys like them."""

    reads_tables: ClassVar[bool] = False
    """Whether its models have learned what real tables of numbers ask."""

    def __init__(self, config: TaskConfig) -> None:
        self.config = config
        self.n_dims = config.n_dims

    def draw(self, draws: Draws, batch: int) -> Any:
        """Draw the task parameters of ``batch`` functions."""
        raise NotImplementedError

    def evaluate(self, params: Any, xs: Float[Tensor, "batch point dim"]) -> Tensor:
        """Return the noiseless f(x), of shape (batch, point), in units of y."""
        raise NotImplementedError

    def points(
        self, draws: Draws, batch: int, n_points: int
    ) -> tuple[Float[Tensor, "batch point dim"], Float[Tensor, "batch point"]]:
        """Draw the noiseless points of ``batch`` prompts, the query last."""
        xs = draws.normal(batch, n_points, self.n_dims)
        return xs, self.evaluate(self.draw(draws, batch), xs)

    def batch(
        self,
        seed: int,
        step: int,
        batch_size: int,
        n_points: int,
        *,
        held_out: bool = False,
        device: str = "cpu",
    ) -> tuple[Float[Tensor, "batch point dim"], Float[Tensor, "batch point"]]:
        """Draw the prompts of one step.

        Args:
            seed: training seed, in [0, 2**31).
            step: step of the training, or number of the held-out batch, in [0, 2**32).
            batch_size: prompts, each of its own function.
            n_points: points of a prompt, N + 1.
            held_out: draw from the stream that no training reads.
            device: where to draw and leave the tensors, ``cpu`` or ``cuda``.

        Returns:
            xs of shape (batch, point, dim) and ys of shape (batch, point), float32.
        """
        draws = Draws(seed, step, held_out, device)
        xs, ys = self.points(draws, batch_size, n_points)
        if self.noise_variance > 0:
            ys = ys + math.sqrt(self.noise_variance) * draws.normal(batch_size, n_points)
        return xs, ys
