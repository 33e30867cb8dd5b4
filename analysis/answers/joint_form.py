"""The joint law as a function: expected bits of each cell and their derivatives."""

import itertools

import numpy as np
import pandas as pd

from analysis.scaling.run_table import Floats
from analysis.scaling.solving.solver import Model

_BITS_PER_RELATIVE = 1 / (2 * np.log(2))


class JointForm:
    """The law at the runs' cells. All parameters but phi are searched for as logarithms.

    Attributes:
        names: of the P parameters.
        is_log: which of them theta holds as logarithms, of shape (P,).
        n_reference: weights that A is stated at.
        steps_reference: steps that B is stated at; 1 without that term.
        with_loops: whether phi is there; without it all runs are of b = 1.
    """

    def __init__(self, cells: pd.DataFrame, with_steps: bool, with_loops: bool = True) -> None:
        self.names = ["L_inf", "A", "alpha", *(["phi"] if with_loops else [])]
        self.names += ["B", "beta"] if with_steps else []
        self.is_log = np.array([name != "phi" for name in self.names])
        n_once, n_rec = (cells[name].to_numpy(float) for name in ("n_once", "n_rec"))
        self.n_reference = float(np.exp(np.log(n_rec).mean()))
        self.once, self.rec = n_once / self.n_reference, n_rec / self.n_reference
        self.b = cells["b"].to_numpy(float)
        steps = cells["steps"].to_numpy(float) if with_steps else np.ones(len(cells))
        self.steps_reference = float(np.exp(np.log(steps).mean()))
        self.log_steps = np.log(steps / self.steps_reference)
        self.with_steps, self.with_loops = with_steps, with_loops

    @property
    def bounds(self) -> tuple[Floats, Floats]:
        """Least and greatest parameters, on the scale they are searched for on."""
        ends = {
            "L_inf": (1e-7, 1), "A": (1e-7, 1e3), "alpha": (0.01, 10), "phi": (-1, 5),
            "B": (1e-7, 1e3), "beta": (0.01, 10),
        }  # fmt: skip
        rows = np.array([ends[name] for name in self.names], float)
        rows[self.is_log] = np.log(rows[self.is_log])
        return rows[:, 0], rows[:, 1]

    @property
    def starts(self) -> Floats:
        """Where to begin, of shape (starts, P)."""
        parts: list[tuple[float, ...]] = [(1e-4, 1e-2), (0.01, 0.3), (0.3, 1.5)]
        parts += [(0.2, 0.5, 1.0)] if self.with_loops else []
        parts += [(0.01,), (0.5, 1.5)] if self.with_steps else []
        rows = np.array(list(itertools.product(*parts)))
        rows[:, self.is_log] = np.log(rows[:, self.is_log])
        return rows

    def natural(self, theta: Floats) -> Floats:
        """Take parameters, of shape (..., P), off the scale that they are searched for on."""
        return np.where(self.is_log, np.exp(np.where(self.is_log, theta, 0.0)), theta)

    def searched(self, natural: Floats) -> Floats:
        """Put parameters, of shape (..., P), on the scale that they are searched for on."""
        return np.where(self.is_log, np.log(np.where(self.is_log, natural, 1.0)), natural)

    def is_at_bound(self, theta: Floats) -> "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]":
        """Say which parameters, of shape (..., P), lie at the edge of what is searched."""
        least, most = self.bounds
        return np.asarray(np.minimum(theta - least, most - theta) < 1e-3 * (most - least))

    @property
    def model(self) -> Model:
        """Expected bits of each cell."""

        def model(theta: Floats) -> tuple[Floats, Floats]:
            natural = self.natural(theta)
            floor, factor, alpha = (natural[:, [i]] for i in range(3))
            phi = natural[:, [3]] if self.with_loops else np.zeros_like(alpha)
            looped_weights = self.b**phi * self.rec
            weights = self.once + looped_weights
            term = factor * weights**-alpha
            total = floor + term
            slopes = [
                np.broadcast_to(floor, term.shape),
                term,
                -term * alpha * np.log(weights),
            ]
            if self.with_loops:
                slopes.append(-term * alpha * looped_weights / weights * np.log(self.b))
            if self.with_steps:
                factor, beta = natural[:, [-2]], natural[:, [-1]]
                late = factor * np.exp(-beta * self.log_steps)
                total = total + late
                slopes += [late, -late * beta * self.log_steps]
            jacobian = np.stack(slopes, axis=-1) * (-_BITS_PER_RELATIVE / total)[:, :, None]
            return -0.5 * np.log2(total), jacobian

        return model
