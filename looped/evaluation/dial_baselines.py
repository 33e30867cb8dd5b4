"""Baselines of the tasks with a dial for depth: chains that are followed, hidden bits.

What they take and return is said in ``baselines``.
"""

import math
from collections.abc import Iterator
from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor

from looped.evaluation.linear_baselines import as_answer, least_squares, split_prompts

NUMBERS_TOGETHER = 2**23
"""Products of coordinates that are held at once: they bound the memory."""


def whole_chain(
    xs: Float[Tensor, "batch point dim"], ys: Float[Tensor, "batch point"], hops: int
) -> Float[Tensor, "1 batch 1"]:
    """Follow a pointer chain to its end: the Bayes predictor, and exact."""
    return hop_by_hop(xs, ys, hops, hops)[-1:]


def hop_by_hop(
    xs: Float[Tensor, "batch point dim"], ys: Float[Tensor, "batch point"], hops: int, n_loops: int
) -> Float[Tensor, "loop batch 1"]:
    """Follow a pointer chain one hop a loop, and predict the sum so far.

    The values not met yet have mean 0 and are independent of those met, so that t hops leave
    1 - t / hops of the variance.

    Args:
        xs: the x's of each prompt: an own key and that of the example it names.
        ys: their values; the last is never read.
        hops: length of the chain.
        n_loops: loops to answer after.
    """
    x, y, query = split_prompts(xs, ys)
    width = x.shape[2] // 2
    keys, next_keys = x[..., :width], x[..., width : 2 * width]
    target, total = query[:, width : 2 * width], torch.zeros_like(y[:, 0])
    answers = []
    for t in range(n_loops):
        if t < hops:
            at = torch.einsum("bpk,bk->bp", keys, target).argmax(dim=1, keepdim=True)
            total = total + y.gather(1, at).squeeze(1)
            target = next_keys.gather(1, at.unsqueeze(2).expand(-1, -1, width)).squeeze(1)
        answers.append(total / math.sqrt(hops))
    return as_answer(torch.stack(answers), xs)


def mean_of_values(
    xs: Float[Tensor, "batch point dim"], ys: Float[Tensor, "batch point"], hops: int
) -> Float[Tensor, "1 batch 1"]:
    """Predict sqrt(hops) times the mean value: the best without following, NMSE 1 - hops / N."""
    _, y, _ = split_prompts(xs, ys)
    return as_answer(math.sqrt(hops) * y.mean(dim=1), xs)


def _products(
    xs: Tensor, ys: Tensor, n_bits: int
) -> Iterator[tuple[Float[Tensor, "batch point subset"], Tensor]]:
    """Yield the products of all subsets of coordinates, and the ys, of some prompts at a time."""
    subsets = torch.tensor(list(combinations(range(xs.shape[2]), n_bits)), device=xs.device)
    n_together = max(1, NUMBERS_TOGETHER // (xs.shape[1] * len(subsets)))
    for x, y in zip(torch.split(xs, n_together), torch.split(ys, n_together), strict=True):
        products = x[..., subsets[:, 0]]
        for place in range(1, n_bits):
            products = products * x[..., subsets[:, place]]
        yield products, y


def consistent_subsets(
    xs: Float[Tensor, "batch point dim"], ys: Float[Tensor, "batch point"], n_bits: int
) -> Float[Tensor, "1 batch 1"]:
    """Predict the mean over all subsets of ``n_bits`` that fit the examples: Bayes for parity.

    All subsets are equally likely beforehand and the examples are without noise, so those that
    fit are equally likely afterwards, and the others are not possible.
    """
    predictions = []
    for products, y in _products(xs, ys, n_bits):
        fits = (products[:, :-1] == y[:, :-1, None]).all(dim=1)
        predictions.append((fits * products[:, -1]).sum(dim=1) / fits.sum(dim=1).clamp(min=1))
    return as_answer(torch.cat(predictions), xs)


def elimination_mod_2(
    xs: Float[Tensor, "batch point dim"], ys: Float[Tensor, "batch point"]
) -> Float[Tensor, "1 batch 1"]:
    """Predict parity by Gaussian elimination modulo 2, for a number of bits that is not known.

    With -1 written 1 and 1 written 0, y is the sum modulo 2 of the hidden bits. Where the query
    is a sum of examples, its y is the sum of theirs, whatever is hidden; elsewhere as many
    subsets say 1 as -1, and the prediction is 0.

    Example:
        >>> xs = torch.tensor([[[-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]]])
        >>> elimination_mod_2(xs, torch.tensor([[-1.0, 1.0, 0.0]])).item()
        -1.0
    """
    rows = torch.cat([xs, ys.unsqueeze(2)], dim=2) < 0
    rest = rows[:, -1].clone()
    rest[:, -1] = False  # the query's y is what is asked
    examples = rows[:, :-1].clone()
    is_free = torch.ones_like(examples[..., 0])
    for column in range(xs.shape[2]):
        has_bit = examples[..., column] & is_free
        place = has_bit.int().argmax(dim=1, keepdim=True)
        exists = has_bit.any(dim=1, keepdim=True)
        pivot = examples.gather(1, place.unsqueeze(2).expand(-1, -1, rows.shape[2])).squeeze(1)
        pivot = pivot & exists
        is_free.scatter_(1, place, is_free.gather(1, place) & ~exists)
        cleared = (examples[..., column] & is_free).unsqueeze(2)
        examples = examples ^ (cleared & pivot.unsqueeze(1))
        rest = rest ^ (rest[:, column : column + 1] & pivot)
    signs = 1.0 - 2.0 * rest[:, -1].to(xs)
    return as_answer(torch.where(rest[:, :-1].any(dim=1), 0.0, signs), xs)


def least_squares_on_products(
    xs: Float[Tensor, "batch point dim"], ys: Float[Tensor, "batch point"], n_bits: int
) -> Float[Tensor, "1 batch 1"]:
    """Predict with least squares on the products of all subsets of ``n_bits`` coordinates."""
    parts = [least_squares(products, y) for products, y in _products(xs, ys, n_bits)]
    return torch.cat(parts, dim=1)


def seen_before(
    xs: Float[Tensor, "batch point dim"], ys: Float[Tensor, "batch point"]
) -> Float[Tensor, "1 batch 1"]:
    """Predict the mean y of the examples whose x is the query's own, 0 where there is none.

    It learns nothing of the function: what a model does better, it has not merely looked up.
    """
    is_same = (xs[:, :-1] == xs[:, -1:]).all(dim=2)
    predictions = (is_same * ys[:, :-1]).sum(dim=1) / is_same.sum(dim=1).clamp(min=1)
    return as_answer(predictions, xs)
