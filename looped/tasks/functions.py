"""Function classes to learn in context, after Garg et al. (arXiv:2208.01066).

Every x is N(0, I) unless its class says otherwise. Every y has mean 0 and variance 1 over
prompts, so that the mean squared error is the normalised one; the scale that does it is stated
in each class.
"""

import math
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from looped.draws import Draws
from looped.plugins import loading
from looped.rules import require
from looped.tasks.own import KIND, kind_of
from looped.tasks.task import Task
from looped.tasks.task_config import TaskConfig

HELD_OUT_SEED = 0


class LinearRegression(Task):
    """y = w.x / sqrt(d) with w ~ N(0, I_d)."""

    def draw(self, draws: Draws, batch: int) -> Float[Tensor, "batch dim"]:
        return draws.normal(batch, self.n_dims)

    def evaluate(
        self, params: Float[Tensor, "batch dim"], xs: Float[Tensor, "batch point dim"]
    ) -> Float[Tensor, "batch point"]:
        return torch.einsum("bpd,bd->bp", xs, params) / math.sqrt(self.n_dims)


class NoisyLinearRegression(LinearRegression):
    """y = (w.x / sqrt(d) + s e) / sqrt(1 + s^2) with e ~ N(0, 1) and s = ``noise_std``."""

    def __init__(self, config: TaskConfig) -> None:
        super().__init__(config)
        self.noise_variance = config.noise_std**2 / (1 + config.noise_std**2)

    def evaluate(
        self, params: Float[Tensor, "batch dim"], xs: Float[Tensor, "batch point dim"]
    ) -> Float[Tensor, "batch point"]:
        return super().evaluate(params, xs) * math.sqrt(1 - self.noise_variance)


class SparseLinearRegression(LinearRegression):
    """y = w.x / sqrt(k), where k = ``sparsity`` entries of w are N(0, 1) and the rest 0."""

    def draw(self, draws: Draws, batch: int) -> Float[Tensor, "batch dim"]:
        # The k smallest of d uniform numbers are a uniformly drawn subset.
        order = draws.uniform(batch, self.n_dims).argsort(dim=1)
        mask = torch.zeros(batch, self.n_dims, device=draws.device)
        mask.scatter_(1, order[:, : self.config.sparsity], 1.0)
        return (
            draws.normal(batch, self.n_dims) * mask * math.sqrt(self.n_dims / self.config.sparsity)
        )


class DecisionTree(Task):
    """y is the N(0, 1) value of the leaf that x reaches in a full tree of ``tree_depth``.

    Node i asks whether a randomly drawn coordinate of x is above 0; its children are
    2i + 1 (no) and 2i + 2 (yes).
    """

    def draw(
        self, draws: Draws, batch: int
    ) -> tuple[Int[Tensor, "batch node"], Float[Tensor, "batch leaf"]]:
        n_leaves = 2**self.config.tree_depth
        return draws.integers(self.n_dims, batch, n_leaves - 1), draws.normal(batch, n_leaves)

    def evaluate(
        self,
        params: tuple[Int[Tensor, "batch node"], Float[Tensor, "batch leaf"]],
        xs: Float[Tensor, "batch point dim"],
    ) -> Float[Tensor, "batch point"]:
        coordinates, leaves = params
        node = torch.zeros(xs.shape[:2], dtype=torch.long, device=xs.device)
        for _ in range(self.config.tree_depth):
            asked_coordinate = coordinates.gather(1, node)
            above = xs.gather(2, asked_coordinate.unsqueeze(2)).squeeze(2) > 0
            node = 2 * node + 1 + above
        return leaves.gather(1, node - coordinates.shape[1])


class ReLUNetwork(Task):
    """y = sum_j a_j relu(w_j.x) / sqrt(h d / 2) with a_j, w_j ~ N(0, I), h = ``n_hidden``.

    Given x, w_j.x is N(0, |x|^2), whose relu has second moment |x|^2 / 2, on average d / 2.
    """

    def draw(
        self, draws: Draws, batch: int
    ) -> tuple[Float[Tensor, "batch hidden dim"], Float[Tensor, "batch hidden"]]:
        hidden = self.config.n_hidden
        return draws.normal(batch, hidden, self.n_dims), draws.normal(batch, hidden)

    def evaluate(
        self,
        params: tuple[Float[Tensor, "batch hidden dim"], Float[Tensor, "batch hidden"]],
        xs: Float[Tensor, "batch point dim"],
    ) -> Float[Tensor, "batch point"]:
        first, second = params
        hidden = torch.einsum("bpd,bhd->bph", xs, first).relu()
        scale = math.sqrt(2 / (first.shape[1] * self.n_dims))
        return scale * torch.einsum("bph,bh->bp", hidden, second)


class Parity(Task):
    """y is the product of ``n_bits`` coordinates of x, drawn for each prompt; x is of -1 and 1."""

    def points(
        self, draws: Draws, batch: int, n_points: int
    ) -> tuple[Float[Tensor, "batch point dim"], Float[Tensor, "batch point"]]:
        xs = 2.0 * draws.integers(2, batch, n_points, self.n_dims).float() - 1
        return xs, self.evaluate(self.draw(draws, batch), xs)

    def draw(self, draws: Draws, batch: int) -> Int[Tensor, "batch bit"]:
        # The k smallest of d uniform numbers are a uniformly drawn subset.
        return draws.uniform(batch, self.n_dims).argsort(dim=1)[:, : self.config.n_bits]

    def evaluate(
        self, params: Int[Tensor, "batch bit"], xs: Float[Tensor, "batch point dim"]
    ) -> Float[Tensor, "batch point"]:
        hidden = params.unsqueeze(1).expand(-1, xs.shape[1], -1)
        return xs.gather(2, hidden).prod(dim=2)


class PointerChain(Task):
    """Every example names an earlier one; y of the query is the sum along the chain it begins.

    The first half of an example's x is its own key, the second half the key of another one, and
    its y is a value, N(0, 1). The query names an example, that one the next, and so on: its y is
    the sum of the ``hops`` values met, over sqrt(hops). The examples of the chain are uniformly
    drawn, the latest first; the others name any earlier one, and the first names itself.

    Keys are uniform on a sphere of squared radius floor(d / 2), so that a key has its largest
    product with itself. If d is odd, the last coordinate is N(0, 1) and says nothing.
    """

    def points(
        self, draws: Draws, batch: int, n_points: int
    ) -> tuple[Float[Tensor, "batch point dim"], Float[Tensor, "batch point"]]:
        hops, width = self.config.hops, self.n_dims // 2
        self.config.require_examples(n_points - 1)
        keys = draws.normal(batch, n_points, width)
        keys = keys / keys.norm(dim=2, keepdim=True) * math.sqrt(width)
        chain, pointers = self._links(draws, batch, n_points - 1)
        named_keys = keys.gather(1, pointers.unsqueeze(2).expand(-1, -1, width))
        rest = draws.normal(batch, n_points, self.n_dims - 2 * width)
        ys = draws.normal(batch, n_points)
        ys[:, -1] = ys.gather(1, chain).sum(dim=1) / math.sqrt(hops)
        return torch.cat([keys, named_keys, rest], dim=2), ys

    def _links(
        self, draws: Draws, batch: int, n_examples: int
    ) -> tuple[Int[Tensor, "batch hop"], Int[Tensor, "batch point"]]:
        """Draw the examples that each chain meets, and which one every point names."""
        order = draws.uniform(batch, n_examples).argsort(dim=1)[:, : self.config.hops]
        chain = order.sort(dim=1, descending=True).values
        n_earlier = torch.arange(n_examples, device=draws.device).clamp(min=1)
        pointers = (draws.uniform(batch, n_examples) * n_earlier).long()
        pointers = torch.minimum(pointers, n_earlier - 1)  # a product may round up
        pointers.scatter_(1, chain[:, :-1], chain[:, 1:])
        return chain, torch.cat([pointers, chain[:, :1]], dim=1)


TASKS: dict[str, type[Task]] = {
    "linear": LinearRegression,
    "noisy_linear": NoisyLinearRegression,
    "sparse_linear": SparseLinearRegression,
    "decision_tree": DecisionTree,
    "relu_network": ReLUNetwork,
    "pointer_chain": PointerChain,
    "parity": Parity,
}
"""How each of ``TASK_KINDS`` draws its functions."""


def make_task(name: str, n_dims: int, **options: Any) -> Task:
    """Build a function class by name.

    Args:
        name: one of ``TASK_KINDS``, or a task of one's own: ``my_tasks.py:Quadratic``.
        n_dims: length of an x.
        options: the settings of that task (``TASK_KINDS[name].settings``).

    Raises:
        ValueError: unknown name, or a setting that breaks its rule.

    Example:
        >>> task = make_task("sparse_linear", n_dims=5, sparsity=2)
        >>> xs, ys = task.batch(seed=7, step=0, batch_size=8, n_points=64)
        >>> tuple(xs.shape), tuple(ys.shape)
        ((8, 64, 5), (8, 64))
    """
    return from_config(TaskConfig(name, n_dims, **options))


def from_config(config: TaskConfig) -> Task:
    """Build the function class that a configuration names.

    Raises:
        ValueError: it is a task of one's own that is not here, or has other settings.
    """
    if config.reference is None:
        return TASKS[config.name](config)
    kind = config.kind
    rule = f"settings of {config.name} must be {', '.join(kind.setting_names) or 'none'}"
    names = [name for name, _ in config.settings]
    require(set(names) == set(kind.setting_names), rule, ", ".join(names) or "none")
    task: Task = loading.load(config.reference)(config)
    return task


def register_task(task: type[Task], name: str = "") -> str:
    """Let a name stand for a task of one's own, in this process.

    Args:
        task: the class, written in a file or in a notebook's cell.
        name: for ``TrainConfig(task=name)``; the class's own if left out.

    Returns:
        What runs and registered models are called by, which tells one source from another.

    Raises:
        ValueError: the class lacks what a task must have, or its source is nowhere to be read.

    Example:
        >>> class Noise(Task):
        ...     title = "noise, of which nothing can be learned"
        ...     def points(self, draws, batch, n_points):
        ...         return draws.normal(batch, n_points, self.n_dims), draws.normal(batch, n_points)
        >>> register_task(Noise).startswith("Noise-")
        True
    """
    reference = loading.register(KIND, name or task.__name__, task)
    kind_of(reference)
    return reference.short
