"""One law of all curves: E after t loops of a model of N parameters that was trained at b.

    E(N, b, t) = (start + rise (1 - exp(-(rate (t - 1))^stretch)))
                 (1 - share (1 - exp(-pace (t / b - 1)+)))

(x)+ is max(x, 0). The first factor rises to what the model reaches near its trained b; the second
takes away a share of it beyond b, at a pace that is counted in b. Each word is a smooth function
of size and b, with x = ln(N / the sizes' geometric mean):

    start = s_0 + s_x x + s_xx x^2 + s_b ln b       rise = exp(r_0 + r_x x) (b - 1)^r_b
    rate = exp(k_0) b^-k_b                          stretch = exp(h)
    ln(share / (1 - share)) = f_0 + f_x x - f_b ln b
    pace = exp(p_0 + p_x x)

so that a model trained at b = 1 only falls, the share lost beyond b becomes a power of b, and what
is lost at most is all of E. k_b lies between 0, where the rise goes by loops, and 1, where it goes
by shares of b. The terms in x need two sizes, that in x^2 three.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.answers.loops.curve_table import CurveTable
from analysis.scaling.solving.solver import Floats, Observations, solve

MAX_STEPS = 200
_TERMS = (
    # name, start, least and largest value, sizes that it needs
    ("s_0", 2.5, -20.0, 40.0, 1),
    ("s_x", 0.2, -5.0, 5.0, 2),
    ("s_xx", 0.0, -2.0, 2.0, 3),
    ("s_b", 0.0, -3.0, 3.0, 1),
    ("r_0", -0.5, -6.0, 3.0, 1),
    ("r_x", -0.2, -2.0, 2.0, 2),
    ("r_b", 0.4, 0.05, 2.0, 1),
    ("k_0", 0.3, -3.0, 3.0, 1),
    ("k_b", 0.3, 0.0, 1.0, 1),
    ("h", -0.2, -1.6, 0.7, 1),
    ("f_0", 1.0, -10.0, 10.0, 1),
    ("f_x", -0.5, -4.0, 4.0, 2),
    ("f_b", 2.0, 0.0, 8.0, 1),
    ("p_0", 0.0, -3.0, 3.0, 1),
    ("p_x", 0.0, -1.0, 1.0, 2),
)
NAMES = tuple(name for name, *_ in _TERMS)
_LOWER, _UPPER = (np.array([term[i] for term in _TERMS], float) for i in (2, 3))
_STARTS = np.array(
    [
        [changes.get(name, start) for name, start, *_ in _TERMS]
        for changes in (
            {},
            {"f_b": 4.0, "p_0": 1.0},
            {"k_0": -0.7, "h": 0.0},
            {"r_b": 0.8, "f_0": -1.0},
            {"r_b": 0.1, "k_0": -0.2, "k_b": 0.05},
        )
    ]
)
WORDS = {
    "start": ("s_0", "s_x", "s_xx", "s_b"),
    "rise": ("r_0", "r_x", "r_b"),
    "rate": ("k_0", "k_b"),
    "stretch": ("h",),
    "share": ("f_0", "f_x", "f_b"),
    "pace": ("p_0", "p_x"),
}
"""Names of the parameters of each word of the formula."""
FORMULA = (
    "E = reached (1 - lost) after t loops of a model that was trained at b, (x)+ = max(x, 0):",
    "reached = start + rise (1 - exp(-(rate (t - 1))^stretch))",
    "lost = share (1 - exp(-pace (t / b - 1)+))",
)
_COLUMNS = {word: [NAMES.index(name) for name in names] for word, names in WORDS.items()}


@dataclass(frozen=True)
class LoopForm:
    """The law's expected values for some cells and loops, as the solver takes them.

    Attributes:
        x: ln size of each row, from the sizes' mean, of shape (n,).
        bs: trained b of each row, of shape (n,).
        loops: loops run, of shape (n,).
    """

    x: Floats
    bs: Floats
    loops: Floats

    def __call__(self, theta: Floats) -> tuple[Floats, Floats]:
        """Return E in bits, (R, n), and its derivatives, (R, n, P), from parameters, (R, P)."""
        features = self._features
        words = {word: theta[:, columns] @ features[word].T for word, columns in _COLUMNS.items()}
        start = words["start"]
        rise, rate, stretch, pace = (
            np.exp(words[word]) for word in ("rise", "rate", "stretch", "pace")
        )
        share = 1 / (1 + np.exp(-words["share"]))
        scaled_loops = rate * (self.loops - 1)
        power = scaled_loops**stretch
        share_to_come = np.exp(-power)
        since = np.maximum(self.loops / self.bs - 1, 0.0)
        share_kept = np.exp(-pace * since)
        bits_reached, share_left = start + rise * (1 - share_to_come), 1 - share * (1 - share_kept)
        speed = rise * share_to_come * power * stretch * share_left
        logarithm = np.log(np.where(scaled_loops > 0, scaled_loops, 1.0))
        by_word = {
            "start": share_left,
            "rise": rise * (1 - share_to_come) * share_left,
            "rate": speed,
            "stretch": speed * logarithm,
            "share": -bits_reached * (1 - share_kept) * share * (1 - share),
            "pace": -bits_reached * share * share_kept * pace * since,
        }
        slopes = np.empty((*bits_reached.shape, len(NAMES)))
        for word, columns in _COLUMNS.items():
            for column, feature in zip(columns, features[word].T, strict=True):
                slopes[:, :, column] = by_word[word] * feature
        return bits_reached * share_left, slopes

    @property
    def _features(self) -> dict[str, Floats]:
        """What each word's terms are multiplied by, of shape (n, terms)."""
        one, log_b = np.ones_like(self.x), np.log(self.bs)
        log_more = np.log(np.maximum(self.bs - 1, 1e-300))
        columns: dict[str, Sequence[Floats]] = {
            "start": (one, self.x, self.x**2, log_b),
            "rise": (one, self.x, log_more),
            "rate": (one, -log_b),
            "stretch": (one,),
            "share": (one, self.x, -log_b),
            "pace": (one, self.x),
        }
        return {word: np.stack(parts, axis=1) for word, parts in columns.items()}


@dataclass(frozen=True)
class LoopLaw:
    """The law with its parameters.

    Attributes:
        theta: in the order of ``NAMES``, of shape (P,).
        n_reference: the sizes' geometric mean that x is counted from.
        is_free: which were fitted, of shape (P,); the others are 0.
    """

    theta: Floats
    n_reference: float
    is_free: npt.NDArray[np.bool_]

    @property
    def at_bound(self) -> list[str]:
        """Names of the parameters that ended where they may go no further."""
        room = 1e-6 * (_UPPER - _LOWER)
        is_at = (self.theta <= _LOWER + room) | (self.theta >= _UPPER - room)
        return [name for name, ends in zip(NAMES, is_at & self.is_free, strict=True) if ends]

    def predict(self, n_params: Floats, bs: Floats, loops: Floats) -> Floats:
        """Return E in bits, of shape (C, T), of C cells after T loop counts.

        Args:
            n_params: of each cell, of shape (C,).
            bs: trained b of each, of shape (C,).
            loops: run, of shape (T,).
        """
        form = form_of(n_params, bs, loops, self.n_reference)
        return form(self.theta[None])[0].reshape(len(bs), len(loops))


def form_of(n_params: Floats, bs: Floats, loops: Floats, n_reference: float) -> LoopForm:
    """Return the form of all pairs of a cell and a loop count, loops running fastest."""
    x = np.log(n_params / n_reference)
    return LoopForm(np.repeat(x, len(loops)), np.repeat(bs, len(loops)), np.tile(loops, len(bs)))


def fit_laws(
    tables: Sequence[CurveTable], kept_values: Sequence[npt.NDArray[np.bool_]]
) -> list[LoopLaw]:
    """Fit the law to several tables at once, each without some of its loops.

    Every curve is the mean over its seeds; loops count by their logarithm, so that 1 to 2 weighs
    as much as 20 to 40; each mean is weighed by ``CurveTable.scale`` of the first table. None
    begins from a law that has seen more than is kept: several starts, the same for all.

    Args:
        tables: of the same cells.
        kept_values: of each table, which of its values are fitted, of shape (C, T).
    """
    table, n_starts = tables[0], len(_STARTS)
    n_reference = float(np.exp(np.log(np.unique(table.n_params)).mean()))
    form = form_of(table.n_params, table.bs, table.loops, n_reference)
    is_free = [_is_free(table, is_kept) for is_kept in kept_values]
    free = np.repeat(np.stack(is_free), n_starts, axis=0)
    starts = np.where(free, np.tile(_STARTS, (len(tables), 1)), 0.0)
    weights = np.stack([is_kept / table.loops for is_kept in kept_values]).reshape(len(tables), -1)
    observations = Observations(
        np.repeat(np.stack([each.mean.ravel() for each in tables]), n_starts, axis=0),
        np.repeat(weights, n_starts, axis=0),
        table.scale.ravel(),
        np.arange(table.mean.size),
    )
    solution = solve(
        form, observations, starts, _LOWER, _UPPER, free=free, max_steps=MAX_STEPS, tolerance=1e-6
    )
    best = solution.loss.reshape(len(tables), n_starts).argmin(axis=1)
    theta = solution.theta[np.arange(len(tables)) * n_starts + best]
    return [LoopLaw(row, n_reference, free_of) for row, free_of in zip(theta, is_free, strict=True)]


def _is_free(table: CurveTable, is_kept: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Say which parameters the sizes that are left can tell."""
    n_sizes = len(np.unique(table.n_params[is_kept.any(axis=1)]))
    return np.array([needed <= n_sizes for *_, needed in _TERMS])
