"""Baselines that predict w.x with a w fitted to the prompt's examples.

Like those of Garg et al. (arXiv:2208.01066), they have no intercept, since E[y | x] over
prompts is 0. What they take and return is said in ``baselines``.
"""

import math
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from looped.tasks import HELD_OUT_SEED, from_config
from looped.tasks.task_config import TaskConfig

TUNING_SEED = HELD_OUT_SEED + 1
"""Its held-out stream tunes the baselines; no model is trained or evaluated on it."""

LASSO_PENALTIES = (1.0, 0.1, 0.01, 0.001, 0.0001)
"""The grid of Garg et al."""


def split_prompts(xs: Tensor, ys: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the examples' x's and y's and the query, as float64."""
    return xs[:, :-1].double(), ys[:, :-1].double(), xs[:, -1].double()


def as_answer(predictions: Tensor, xs: Tensor) -> Tensor:
    """Turn predictions of shape (batch,) or (loop, batch) into a baseline's answer."""
    return predictions.reshape(-1, len(xs), 1).to(xs)


def fit_each(estimator: Any, xs: Tensor, ys: Tensor) -> Tensor:
    """Fit a scikit-learn estimator to one prompt after the other and answer with each."""
    prompts = zip(*(part.cpu().numpy() for part in split_prompts(xs, ys)), strict=True)
    with import_module("sklearn").config_context(
        assume_finite=True, skip_parameter_validation=True
    ):
        predictions = [estimator.fit(x, y).predict(query[None])[0] for x, y, query in prompts]
    return as_answer(torch.tensor(predictions), xs)


def _modes(xs: Tensor, ys: Tensor) -> tuple[Tensor, Tensor]:
    """Split the prediction of least squares by the right singular vectors of X.

    With X = U S V' (point, dim), X the examples' x's, mode k predicts (q.v_k)(u_k.y) / s_k at
    the query q. Least squares is the sum of the modes; ridge and gradient descent are sums
    that keep a part of each.

    Returns:
        The modes' predictions and the eigenvalues s_k^2 of X'X, both (batch, mode). A mode
        with no singular value to speak of predicts 0, as the minimum-norm solution has it.
    """
    x, y, query = split_prompts(xs, ys)
    u, s, vh = torch.linalg.svd(x, full_matrices=False)
    numerator = (vh @ query.unsqueeze(2) * (u.mT @ y.unsqueeze(2))).squeeze(2)
    present = s > s.amax(dim=1, keepdim=True) * max(x.shape[1:]) * torch.finfo(s.dtype).eps
    return torch.where(present, numerator / s, 0.0), s.square()


def least_squares(
    xs: Float[Tensor, "batch point dim"], ys: Float[Tensor, "batch point"]
) -> Float[Tensor, "1 batch 1"]:
    """Predict with the w that minimises |Xw - y|^2; of several, the one of smallest norm."""
    predictions, _ = _modes(xs, ys)
    return as_answer(predictions.sum(dim=1), xs)


def ridge(
    xs: Float[Tensor, "batch point dim"], ys: Float[Tensor, "batch point"], penalty: float
) -> Float[Tensor, "1 batch 1"]:
    """Predict with the w that minimises |Xw - y|^2 + penalty |w|^2."""
    predictions, eigenvalues = _modes(xs, ys)
    shares = eigenvalues / (eigenvalues + penalty)
    return as_answer((shares * predictions).sum(dim=1), xs)


def ridge_penalty(config: TaskConfig) -> float:
    """Return the penalty s^2 d with which ridge is the Bayes predictor of ``noisy_linear``.

    There y = v.x + e with v ~ N(0, tau^2 I) and e ~ N(0, sigma^2), where
    tau^2 = 1 / (d (1 + s^2)) and sigma^2 = s^2 / (1 + s^2). Up to a constant,
    -2 log p(v | X, y) = |Xv - y|^2 / sigma^2 + |v|^2 / tau^2. That is quadratic, so the
    posterior mean is its minimum, which is ridge's with penalty sigma^2 / tau^2 = s^2 d.
    As s falls to 0, ridge becomes minimum-norm least squares, the Bayes predictor of
    ``linear``.
    """
    noise_std: float = config.noise_std
    return noise_std**2 * config.n_dims


def averaging(
    xs: Float[Tensor, "batch point dim"], ys: Float[Tensor, "batch point"]
) -> Float[Tensor, "1 batch 1"]:
    """Predict with w = mean of y_i x_i, unbiased on linear tasks since E[x x'] = I.

    It is one step of ``gradient_descent`` of size 1.
    """
    x, y, query = split_prompts(xs, ys)
    w = torch.einsum("bp,bpd->bd", y, x) / x.shape[1]
    return as_answer((w * query).sum(dim=1), xs)


def gradient_descent(
    xs: Float[Tensor, "batch point dim"], ys: Float[Tensor, "batch point"], steps: Sequence[float]
) -> Float[Tensor, "loop batch 1"]:
    """Predict after t = 1, 2, ... steps of gradient descent on the prompt, from w = 0.

    Each step is w <- w - eta X'(Xw - y) / N: the gradient of half the mean squared error.
    Along an eigenvector of X'X / N with eigenvalue h, t of them go 1 - (1 - eta h)^t of the
    way to least squares, which is how they are computed.

    Args:
        xs: the x's of each prompt; the last one is the query.
        ys: their y's; the last is never read.
        steps: for each t, the eta of the descent that ends after t steps.
    """
    predictions, eigenvalues = _modes(xs, ys)
    curvatures = eigenvalues / (xs.shape[1] - 1)
    after = [
        ((1 - (1 - eta * curvatures) ** t) * predictions).sum(dim=1)
        for t, eta in enumerate(steps, start=1)
    ]
    return as_answer(torch.stack(after), xs)


def _tuning_prompts(config: TaskConfig, n_examples: int, n_prompts: int) -> tuple[Tensor, Tensor]:
    task = from_config(config)
    return task.batch(TUNING_SEED, 0, n_prompts, n_examples + 1, held_out=True)


@cache
def _tuning_modes(config: TaskConfig, n_examples: int) -> tuple[Tensor, Tensor, Tensor]:
    xs, ys = _tuning_prompts(config, n_examples, 12_800)
    return *_modes(xs, ys), ys[:, -1].double()


@cache
def best_step(config: TaskConfig, n_examples: int, t: int) -> float:
    """Return the step size that leaves the least mean error after ``t`` steps.

    The mean is over 12,800 tuning prompts; few would not do, for a step that is too large for
    a rare prompt makes its error explode. The search zooms in three times on the best of 17
    sizes, at first spread on a log scale from 1/1000 to 2 times N / (N + d + 1), the best
    single step of the noiseless task. Each t has a size of its own, so that no number of
    steps is at a disadvantage.
    """
    predictions, eigenvalues, target = _tuning_modes(config, n_examples)
    first = n_examples / (n_examples + config.n_dims + 1)
    low, high = first / 1000, first * 2
    for _ in range(4):
        sizes = torch.logspace(math.log10(low), math.log10(high), 17, dtype=torch.float64)
        shares = 1 - (1 - sizes[:, None, None] * eigenvalues / n_examples) ** t  # (size, B, mode)
        errors = ((shares * predictions).sum(dim=2) - target).square().mean(dim=1)
        best = int(errors.nan_to_num(nan=math.inf).argmin())
        low, high = float(sizes[max(best - 1, 0)]), float(sizes[min(best + 1, 16)])
    return float(sizes[best])


def lasso(
    xs: Float[Tensor, "batch point dim"], ys: Float[Tensor, "batch point"], penalty: float
) -> Float[Tensor, "1 batch 1"]:
    """Predict with the w that minimises |Xw - y|^2 / 2N + penalty |w|_1.

    Found by least angle regression, which is exact. Coordinate descent, the usual way, stops
    far from the minimum at scikit-learn's default tolerance where N < d and penalties are
    small.
    """
    estimator = import_module("sklearn.linear_model").LassoLars
    return fit_each(estimator(alpha=penalty, fit_intercept=False), xs, ys)


@cache
def lasso_penalty(config: TaskConfig, n_examples: int) -> float:
    """Return the one of ``LASSO_PENALTIES`` with the least error on 256 tuning prompts."""
    xs, ys = _tuning_prompts(config, n_examples, 256)

    def error(penalty: float) -> float:
        return float((lasso(xs, ys, penalty)[0, :, 0] - ys[:, -1]).square().mean())

    return min(LASSO_PENALTIES, key=error)
