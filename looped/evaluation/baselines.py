"""What a statistician would predict from the same prompt.

A baseline reads prompts as the model does, xs (batch, point, dim) and ys (batch, point), and
predicts y at the query, the last point, whose own y it never reads. Its answer has the shape
of the model's, (loop, batch, query), with one query and one loop; only gradient descent and
``hop_by_hop`` have more, a step per loop. Predictions are in units of y, whose variance is 1.
Each depends on its own prompt alone and is the same at every call.

The choice follows Garg et al. (arXiv:2208.01066) and Yang et al. (arXiv:2311.12424).
"""

import math
from collections.abc import Callable
from functools import partial
from importlib import import_module

import torch
from jaxtyping import Float
from torch import Tensor

from looped.evaluation.dial_baselines import (
    consistent_subsets,
    elimination_mod_2,
    hop_by_hop,
    least_squares_on_products,
    mean_of_values,
    seen_before,
    whole_chain,
)
from looped.evaluation.linear_baselines import (
    as_answer,
    averaging,
    best_step,
    fit_each,
    gradient_descent,
    lasso,
    lasso_penalty,
    least_squares,
    ridge,
    ridge_penalty,
    split_prompts,
)
from looped.rules import require
from looped.tasks import Task

Baseline = Callable[
    [Float[Tensor, "batch point dim"], Float[Tensor, "batch point"]],
    Float[Tensor, "loop batch 1"],
]

N_TOGETHER = 128
"""Prompts whose networks train as one program; it bounds the memory and fits the cache."""


def nearest_neighbours(
    xs: Float[Tensor, "batch point dim"], ys: Float[Tensor, "batch point"], k: int = 3
) -> Float[Tensor, "1 batch 1"]:
    """Predict the mean y of the ``k`` examples nearest to the query, or of all if fewer."""
    x, y, query = split_prompts(xs, ys)
    distances = (x - query.unsqueeze(1)).square().sum(dim=2)
    nearest = distances.topk(min(k, x.shape[1]), largest=False).indices
    return as_answer(y.gather(1, nearest).mean(dim=1), xs)


def greedy_tree(
    xs: Float[Tensor, "batch point dim"], ys: Float[Tensor, "batch point"]
) -> Float[Tensor, "1 batch 1"]:
    """Predict with a regression tree grown greedily (CART) until no leaf can be split."""
    return fit_each(import_module("sklearn.tree").DecisionTreeRegressor(random_state=0), xs, ys)


def greedy_tree_on_signs(
    xs: Float[Tensor, "batch point dim"], ys: Float[Tensor, "batch point"]
) -> Float[Tensor, "1 batch 1"]:
    """Predict with a greedy tree that sees the signs of x, all that ``decision_tree`` uses."""
    return greedy_tree(xs.sign(), ys)


def network(
    xs: Float[Tensor, "batch point dim"],
    ys: Float[Tensor, "batch point"],
    *,
    n_hidden: int = 100,
    steps: int = 50,
    learning_rate: float = 2e-2,
) -> Float[Tensor, "1 batch 1"]:
    """Predict with a two-layer ReLU network trained on the prompt.

    As in Garg et al.: PyTorch's default initialisation, biases, Adam on the mean squared
    error of all examples at once. They take 100 steps of 5e-3; 50 of 2e-2 cost half and
    leave less error on held-out prompts. All networks start from the same weights.
    """
    # Autograd cannot save tensors of an inference mode that the caller may be in: copy them.
    with torch.inference_mode(False), torch.enable_grad():
        parts = zip(
            torch.split(xs.clone(), N_TOGETHER), torch.split(ys.clone(), N_TOGETHER), strict=True
        )
        predictions = [_train(x, y, n_hidden, steps, learning_rate) for x, y in parts]
    return as_answer(torch.cat(predictions), xs)


def _train(xs: Tensor, ys: Tensor, n_hidden: int, steps: int, learning_rate: float) -> Tensor:
    """Train one network per prompt, all together, and return their predictions (B, 1, 1)."""
    batch, _, n_dims = xs.shape
    generator = torch.Generator().manual_seed(0)

    def start(fan_in: int, *shape: int) -> Tensor:
        weights = (2 * torch.rand(shape, generator=generator) - 1) / math.sqrt(fan_in)
        return weights.to(xs).repeat(batch, 1, 1).requires_grad_()

    w_in, b_in = start(n_dims, n_dims, n_hidden), start(n_dims, 1, n_hidden)
    w_out, b_out = start(n_hidden, n_hidden, 1), start(n_hidden, 1, 1)

    def predict(x: Tensor) -> Tensor:
        return torch.baddbmm(b_out, torch.baddbmm(b_in, x, w_in).relu(), w_out)

    x, y, query = xs[:, :-1], ys[:, :-1, None], xs[:, -1:]
    optimiser = torch.optim.Adam([w_in, b_in, w_out, b_out], lr=learning_rate)
    for _ in range(steps):
        optimiser.zero_grad()
        # Adam treats each weight by itself, so the sum over prompts trains each one alone.
        loss = (predict(x) - y).square().mean(dim=(1, 2)).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return predict(query).detach()


BASELINES: dict[str, Callable[..., Float[Tensor, "loop batch 1"]]] = {
    "least_squares": least_squares,
    "ridge": ridge,
    "averaging": averaging,
    "gradient_descent": gradient_descent,
    "lasso": lasso,
    "nearest_neighbours": nearest_neighbours,
    "greedy_tree": greedy_tree,
    "greedy_tree_on_signs": greedy_tree_on_signs,
    "network": network,
    "whole_chain": whole_chain,
    "hop_by_hop": hop_by_hop,
    "mean_of_values": mean_of_values,
    "consistent_subsets": consistent_subsets,
    "elimination_mod_2": elimination_mod_2,
    "least_squares_on_products": least_squares_on_products,
    "seen_before": seen_before,
}
"""Every baseline by name; ``baselines_for`` supplies what some need besides the prompts."""


def baselines_for(task: Task, n_loops: int = 15) -> dict[str, Baseline]:
    """Return the baselines of a task (``TaskKind.baselines``), by name and ready to be called.

    Ridge has its Bayes-optimal penalty, the network as many hidden units as the task's.
    Lasso's penalty and the steps of gradient descent are tuned when first called with prompts
    of N examples, once for each N.

    Args:
        task: the function class that the prompts come from.
        n_loops: steps of gradient descent.
    """
    config = task.config
    functions = _functions_of(task)

    def tuned_lasso(xs: Tensor, ys: Tensor) -> Tensor:
        return lasso(xs, ys, lasso_penalty(config, xs.shape[1] - 1))

    def best_gradient_descent(xs: Tensor, ys: Tensor) -> Tensor:
        times = range(1, n_loops + 1)
        return gradient_descent(xs, ys, [best_step(config, xs.shape[1] - 1, t) for t in times])

    def bayes_ridge(xs: Tensor, ys: Tensor) -> Tensor:
        return ridge(xs, ys, ridge_penalty(config))

    def network_of_task(xs: Tensor, ys: Tensor) -> Tensor:
        return network(xs, ys, n_hidden=getattr(config, "n_hidden", 100))

    suited: dict[str, Baseline] = {
        "lasso": tuned_lasso,
        "gradient_descent": best_gradient_descent,
        "ridge": bayes_ridge,
        "network": network_of_task,
    }
    if "hop_by_hop" in config.kind.baselines:
        suited["hop_by_hop"] = partial(hop_by_hop, hops=config.hops, n_loops=n_loops)
        suited |= {
            baseline.__name__: partial(baseline, hops=config.hops)
            for baseline in (whole_chain, mean_of_values)
        }
    if "consistent_subsets" in config.kind.baselines:
        suited |= {
            baseline.__name__: partial(baseline, n_bits=config.n_bits)
            for baseline in (consistent_subsets, least_squares_on_products)
        }
    by_name = {**BASELINES, **suited, **functions}
    return {name: by_name[name] for name in config.kind.baselines}


def _functions_of(task: Task) -> dict[str, Baseline]:
    """Return the functions that a task of one's own has for baselines, by name."""
    if task.config.reference is None:
        return {}
    functions = {each.__name__: each for each in task.baselines if not isinstance(each, str)}
    if task.config.kind.bayes is not None:
        functions[task.config.kind.bayes] = task.bayes  # type: ignore[attr-defined]
    unknown = [name for name in task.baselines if isinstance(name, str) and name not in BASELINES]
    rule = f"a baseline of {task.config.word} must be a function or one of {', '.join(BASELINES)}"
    require(not unknown, rule, ", ".join(unknown))
    return {name: _answering(function) for name, function in functions.items()}


def _answering(predict: Callable[[Tensor, Tensor], Tensor]) -> Baseline:
    """Let one's own function answer with an axis less: of shape (batch,)."""

    def answer(xs: Tensor, ys: Tensor) -> Tensor:
        predictions = predict(xs, ys)
        return as_answer(predictions, xs) if predictions.ndim == 1 else predictions

    return answer
