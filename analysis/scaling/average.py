"""The average over forms: what is predicted while the runs do not tell one form from another.

A band of the form that the comparison chose holds what seeds do to its parameters, not that another
form might be true. So forms are averaged: each says Student's t about its own prediction, and their
Akaike weights mix them (Burnham and Anderson 2002, Model Selection and Multimodel Inference,
chapter 4). No form need be true: the interval is further widened by what the average missed a b by
when that was left out, more than it said itself. Beyond the trained b, where no run tests any form,
that is all there is to go by.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.scaling.form.form_fit import FormFit
from analysis.scaling.form.shapes import Floats
from analysis.scaling.held_out import Refits, errors_of, folds_of
from analysis.scaling.run_table import RunTable
from analysis.scaling.solving.mixture import Mixture, StudentT

WITHIN = 10.0
"""Forms whose AICc is this much above the least, a weight of 1 : 150, take no part."""

Ask = Callable[[FormFit], StudentT]
"""Some quantities of the law, by one form."""


def weights_within(criteria: Mapping[str, float]) -> dict[str, float]:
    """Return the Akaike weights of the forms within ``WITHIN`` of the least, which sum to 1.

    Args:
        criteria: AICc of each form; those that are not finite take no part.

    Example:
        >>> from analysis.scaling.average import weights_within
        >>> weights = weights_within({"a": 3.0, "b": 5.0, "c": 99.0})
        >>> {name: round(weight, 2) for name, weight in weights.items()}
        {'a': 0.73, 'b': 0.27}
    """
    finite = {name: value for name, value in criteria.items() if np.isfinite(value)}
    if not finite:
        return {}
    least = min(finite.values())
    relative = {
        name: float(np.exp((least - value) / 2))
        for name, value in finite.items()
        if value - least <= WITHIN
    }
    total = sum(relative.values())
    return {name: weight / total for name, weight in relative.items()}


def mix(fits: Mapping[str, FormFit], ask: Ask) -> Mixture:
    """Ask the forms that take part for some quantities, and mix what they say.

    Args:
        fits: the forms that can answer.
        ask: the question.

    Example:
        >>> from analysis.scaling.average import mix
        >>> from analysis.scaling.example import example_fit
        >>> table = {"size": ["tiny"], "b": [16]}
        >>> mix(example_fit().fits, lambda fit: fit.student(table)).mean.round(2)
        array([3.])
    """
    weights = weights_within({name: fit.aicc for name, fit in fits.items()})
    if not weights:  # too few runs for any criterion: the fewest parameters
        simplest = min(fits, key=lambda name: len(fits[name].theta))
        weights = {simplest: 1.0}
    return Mixture([ask(fits[name]) for name in weights], np.array(list(weights.values())))


def held_out(run_table: RunTable, refits: Mapping[str, Refits]) -> pd.DataFrame:
    """Predict each cell from the others by the average, whose weights know nothing of it either.

    Returns:
        The columns of ``held_out.errors_of``.

    Example:
        >>> from analysis.scaling.average import held_out
        >>> from analysis.scaling.example import example_fit
        >>> fit = example_fit()
        >>> bool(held_out(fit.run_table, fit.refits)["error"].abs().max() < 0.1)
        True
    """
    predictions, _ = _without_folds(run_table, refits)
    return errors_of(run_table, predictions)


@dataclass(frozen=True, kw_only=True)
class UntestedError:
    """How far the average errs at b that nobody trained, by what it missed when a b was left out.

    Between two trained b the error of an interpolation grows as the product of the distances to
    both (its remainder), beyond the largest as the distance to that; distances are doublings of b.

    Attributes:
        bs: those trained, ascending.
        between: standard deviation of what was missed between, beyond what the average's own errors
            explain, in bits per doubling squared; 0 where these explain it.
        beyond: the same of the largest b when it was left out, in bits per doubling.
        degrees: of freedom of both: the sizes.
    """

    bs: tuple[float, ...]
    between: float
    beyond: float
    degrees: float

    def at(self, b: Floats) -> Floats:
        """Return the further error in bits at some b: none at those trained.

        Example:
            >>> import numpy as np
            >>> from analysis.scaling.average import UntestedError
            >>> error = UntestedError(bs=(1, 4), between=0.1, beyond=0.2, degrees=3)
            >>> error.at(np.array([1, 2, 4, 16]))
            array([0. , 0.1, 0. , 0.4])
        """
        below, above = _distances(np.array(self.bs), np.asarray(b, float))
        is_beyond = np.isinf(above)
        inner = self.between * below * np.where(is_beyond, 0.0, above)
        return np.where(is_beyond, self.beyond * below, inner)


def untested_error(
    run_table: RunTable, refits: Mapping[str, Refits], mean_errors: Floats
) -> UntestedError:
    """See by how much the average missed each b that was left out, beyond its own errors.

    Args:
        run_table: the runs.
        refits: each form without each fold.
        mean_errors: standard error of each cell's mean, bits, of shape (C,).

    Example:
        >>> import numpy as np
        >>> from analysis.scaling.average import untested_error
        >>> from analysis.scaling.example import example_fit
        >>> fit = example_fit()
        >>> error = untested_error(fit.run_table, fit.refits, np.full(8, 0.05))
        >>> error.between, error.beyond
        (0.0, 0.0)
    """
    predictions, variances = _without_folds(run_table, refits)
    means, bs = run_table.cell_means(), run_table.bs
    between: list[float] = []
    beyond: list[float] = []
    for index, fold in enumerate(folds_of(run_table)):
        if fold.left_out != "b" or len(bs) <= 2:
            continue
        b = run_table.cell_b[fold.cells[:1]]
        below, above = (float(distance[0]) for distance in _distances(bs[bs != b], b))
        misses = predictions[index, fold.cells] - means[fold.cells]
        excess = misses**2 - variances[index, fold.cells] - mean_errors[fold.cells] ** 2
        known_excess = excess[np.isfinite(excess)]
        if np.isinf(above):
            beyond += list(known_excess / below**2)
        else:
            between += list(known_excess / (below * above) ** 2)
    return UntestedError(
        bs=tuple(map(float, bs)),
        between=_deviation(between),
        beyond=_deviation(beyond),
        degrees=float(len(run_table.sizes)),
    )


def _deviation(variances: Sequence[float]) -> float:
    return math.sqrt(max(sum(variances) / len(variances), 0.0)) if variances else 0.0


def _distances(bs: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Return the doublings from the trained b below, and to that above: infinite where none is."""
    places = np.searchsorted(bs, b, side="left")
    is_trained = np.isin(b, bs)
    lower = bs[np.where(is_trained, places, np.maximum(places - 1, 0))]
    upper = np.append(bs, np.inf)[places]
    return np.log2(b / lower), np.log2(upper / b)


def _without_folds(run_table: RunTable, refits: Mapping[str, Refits]) -> tuple[Floats, Floats]:
    """Average predictions and their variances, between forms too, each of shape (folds, C)."""
    n_folds, n_cells = len(folds_of(run_table)), len(run_table.cell_b)
    mean, variance = np.full((n_folds, n_cells), np.nan), np.full((n_folds, n_cells), np.nan)
    for fold in range(n_folds):
        criteria = {
            name: float(of_form.aicc[fold])
            for name, of_form in refits.items()
            if np.isfinite(of_form.predictions[fold]).all()
        }
        weights = weights_within(criteria)
        if not weights:
            continue
        share = np.array(list(weights.values()))
        predicted_bits = np.array([refits[name].predictions[fold] for name in weights])
        mean[fold] = share @ predicted_bits
        inner = share @ np.array([refits[name].variances[fold] for name in weights])
        variance[fold] = inner + share @ (predicted_bits - mean[fold]) ** 2
    return mean, variance
