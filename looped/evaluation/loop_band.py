"""Which loops are as good as the best, as far as the held-out prompts can tell."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]

N_DRAWS = 1000
LEVEL = 0.95


def loops_as_good(errors: Floats, level: float = LEVEL) -> npt.NDArray[np.bool_]:
    """Tell which loops are not shown to be worse than any other loop.

    Each loop's mean error is compared with that of every other, prompt by prompt; it is out where
    its largest t value is above what chance gives the largest of so many comparisons. That comes
    from a multiplier bootstrap (Chernozhukov, Chetverikov and Kato, arXiv:1212.6906), whose normal
    multipliers make the means normal with the covariance that the prompts show. So the loop
    that is truly best is in with a probability of ``level``, which the loop with the least mean
    is not; the result is a confidence set for the best, as in Hansen, Lunde and Nason, The model
    confidence set, Econometrica 79 (2011). Draws come from a fixed seed.

    Args:
        errors: of shape (loop, prompt), on the same prompts after every loop.
        level: of the set.

    Returns:
        Whether each loop is in, of shape (loop,); at least one is.

    Example:
        >>> draws = np.random.default_rng(0).chisquare(1, (3, 2000))
        >>> loops_as_good(draws * np.array([[2.0], [1.0], [1.0]])).tolist()
        [False, True, True]
    """
    n_loops, n_prompts = errors.shape
    means = errors.mean(axis=1, dtype=np.float64)
    centred = errors - means[:, None]
    covariance = centred @ centred.T / (n_prompts * (n_prompts - 1))
    values, vectors = np.linalg.eigh(covariance)
    factor = vectors * np.sqrt(np.maximum(values, 0))
    draws = np.random.default_rng(0).standard_normal((N_DRAWS, n_loops)) @ factor.T  # (draw, loop)
    variances = np.diag(covariance)
    is_in = np.ones(n_loops, dtype=bool)
    for loop in range(n_loops):
        spread = variances[loop] + variances - 2 * covariance[loop]
        is_rival = spread > 1e-12 * (
            variances[loop] + variances
        )  # one that is the same is no rival
        if is_rival.any():
            scale = np.sqrt(spread[is_rival])
            largest = ((means[loop] - means[is_rival]) / scale).max()
            by_chance = ((draws[:, [loop]] - draws[:, is_rival]) / scale).max(axis=1)
            is_in[loop] = largest <= np.quantile(by_chance, level)
    is_in[means.argmin()] = True
    return is_in
