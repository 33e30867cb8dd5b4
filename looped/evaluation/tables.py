"""Models of linear regression read real tables in context, against least squares and ridge.

A prompt is made of a few columns and rows of a table that scikit-learn ships, drawn at random
and standardised by what its own examples say. So it looks like a prompt of ``linear``, but its
x's are correlated and heavy-tailed, and y is at best roughly linear in them.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from looped.evaluation.baselines import Baseline
from looped.evaluation.evaluation import Floats
from looped.evaluation.held_out import PROMPTS_PER_BATCH
from looped.evaluation.linear_baselines import TUNING_SEED, as_answer, least_squares, ridge
from looped.model import LoopedTransformer
from looped.tasks import HELD_OUT_SEED
from looped.tasks.kinds import TASK_KINDS
from looped.tasks.task_config import TaskConfig

Table = tuple[Floats, Floats]
"""Features (row, feature) and target (row,), in their own units."""

RIDGE_PENALTIES = tuple(10 ** (k / 2) for k in range(-6, 7))
"""0.001 to 1000, two to the decade: what |w|^2 costs where |Xw - y|^2 costs 1."""


def _dataset(name: str, **settings: Any) -> Any:
    return getattr(import_module("sklearn.datasets"), f"load_{name}")(**settings)


def _predicting(target: str, dataset: Any, n_columns: int | None = None) -> Table:
    """Part the target from the others of the first ``n_columns`` columns."""
    columns, at = dataset.data[:, :n_columns], list(dataset.feature_names).index(target)
    return np.delete(columns, at, axis=1), columns[:, at]


def diabetes() -> Table:
    """442 patients x 10 features: how far diabetes came in a year.

    Age, sex, body mass index, blood pressure and six serum measurements, as measured; Efron et
    al., Least Angle Regression, Annals of Statistics 32 (2004).
    """
    dataset = _dataset("diabetes", scaled=False)
    return dataset.data, dataset.target


def wine() -> Table:
    """178 wines x 12 features: the alcohol content, from twelve other chemical analyses.

    Three cultivars of one region of Italy; Forina et al., PARVUS (1988), via UCI.
    """
    return _predicting("alcohol", _dataset("wine"))


def breast_cancer() -> Table:
    """569 images x 9 features: how smooth the outlines of cell nuclei are, on average.

    Features are the averages of the other nine measurements. Standard errors and extremes are
    left out, since those of smoothness are nearly the target itself; radius, perimeter and area
    are nearly collinear. Street, Wolberg and Mangasarian, Breast Cancer Wisconsin (Diagnostic)
    (1995), via UCI.
    """
    return _predicting("mean smoothness", _dataset("breast_cancer"), n_columns=10)


def iris() -> Table:
    """150 flowers x 3 features: the petal's width, from its length and the sepal's two sizes.

    Three species; Fisher, The Use of Multiple Measurements in Taxonomic Problems (1936).
    """
    return _predicting("petal width (cm)", _dataset("iris"))


TABLES: dict[str, Callable[[], Table]] = {
    table.__name__: table for table in (diabetes, wine, breast_cancer, iris)
}
"""Each table by name, read when called; scikit-learn ships them all and is imported then."""


def _read(name: str, n_dims: int, n_points: int) -> Table:
    """Return a table if prompts of this shape can be drawn from it."""
    if name not in TABLES:
        raise ValueError(f"table must be one of {', '.join(TABLES)}, got {name}")
    features, target = TABLES[name]()
    n_rows, n_features = features.shape
    if not 1 <= n_dims <= n_features:
        rule = f"n_dims must lie in [1, {n_features}], the features of table {name}"
        raise ValueError(f"{rule}, got {n_dims}")
    if not 2 <= n_points <= n_rows:
        rule = f"examples and query must be 2 to {n_rows} points, the rows of table {name}"
        raise ValueError(f"{rule}, got {n_points}")
    return features, target


def check_fits(task: TaskConfig, n_dims: int, n_examples: int, table: str) -> None:
    """Raise ValueError if a model has not learned what the prompts of a table ask.

    Args:
        task: the function class that the model was trained on.
        n_dims: length of an x, at most the table's features.
        n_examples: in-context examples N, fewer than the table's rows.
        table: one of ``TABLES``.
    """
    readers = [name for name, kind in TASK_KINDS.items() if kind.reads_tables]
    if not task.kind.reads_tables:
        rule = f"the task of a model that reads tables must be one of {', '.join(readers)}"
        rule += ", or one of your own whose class says reads_tables = True"
        raise ValueError(f"{rule}, got {task.word}")
    _read(table, n_dims, n_examples + 1)


def draw(
    generator: np.random.Generator, n_prompts: int, n_rows: int, n_features: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Put a table's rows and features in a random order, (prompt, row) and (prompt, feature)."""
    # The order of independent uniform numbers is a uniformly drawn permutation.
    uniform = generator.random((n_prompts, n_rows + n_features))
    return uniform[:, :n_rows].argsort(axis=1), uniform[:, n_rows:].argsort(axis=1)


def table_prompts(
    name: str, n_dims: int, n_points: int, n_prompts: int, seed: int = HELD_OUT_SEED
) -> tuple[Float[Tensor, "batch point dim"], Float[Tensor, "batch point"]]:
    """Draw prompts from a table, a pure function of the arguments.

    Each has its own features and rows, none twice; the last row is the query. From every
    column, y too, the mean of the N examples is subtracted, and it is divided by their standard
    deviation (with N, not N - 1, so that their mean square is 1); the query has no part in
    either. A column that is constant over the examples is 0 there, and is divided by its
    standard deviation over the whole table, so that the query's own value keeps a sensible unit.

    Args:
        name: one of ``TABLES``.
        n_dims: features of a prompt.
        n_points: points of a prompt, N + 1.
        n_prompts: prompts, 1 or more; the first do not depend on how many follow.
        seed: which prompts to draw, 0 or more.

    Returns:
        xs of shape (batch, point, dim) and ys of shape (batch, point), float32.

    Raises:
        ValueError: the table is unknown or too small, or there is nothing to draw.
    """
    features, target = _read(name, n_dims, n_points)
    for setting, value, minimum in (("n_prompts", n_prompts, 1), ("seed", seed, 0)):
        if value < minimum:
            raise ValueError(f"{setting} must be at least {minimum}, got {value}")
    table = np.column_stack([features, target])
    generator = np.random.Generator(np.random.Philox(key=seed))
    parts = []
    for start in range(0, n_prompts, PROMPTS_PER_BATCH):
        batch = min(PROMPTS_PER_BATCH, n_prompts - start)
        rows, order = draw(generator, batch, *features.shape)
        columns = np.column_stack([order[:, :n_dims], np.full(batch, features.shape[1])])
        prompts = table[rows[:, :n_points, None], columns[:, None, :]]  # (B, point, dim + 1)
        prompts -= prompts[:, :1]  # what is constant is now exactly 0
        mean, std = (f(prompts[:, :-1], axis=1, keepdims=True) for f in (np.mean, np.std))
        scale = np.where(std > 0, std, table.std(axis=0)[columns][:, None])
        parts.append(torch.from_numpy(((prompts - mean) / scale).astype(np.float32)))
    all_prompts = torch.cat(parts)
    return all_prompts[:, :, :-1].contiguous(), all_prompts[:, :, -1].contiguous()


@dataclass(frozen=True)
class QueryErrors:
    """What predictions at the queries of a table's prompts are worth.

    A squared error is in units of the variance of its prompt's examples. An NMSE is the mean of
    them over that of predicting the examples' mean, which is 0 after standardisation, on the
    same prompts: the variance of the queries' y about that mean, a little above 1. So it is 1
    for a predictor that ignores x.

    Attributes:
        squares: squared errors, of shape (loop, prompt); a baseline has one loop.
        of_mean: those of predicting the examples' mean, of shape (prompt,).
    """

    squares: Floats
    of_mean: Floats

    @property
    def nmse(self) -> Floats:
        """Mean squared error over that of the examples' mean, of shape (loop,)."""
        return np.asarray(self.squares.mean(axis=1) / self.of_mean.mean())

    @property
    def nmse_se(self) -> Floats:
        """Standard error of ``nmse``, of shape (loop,), by the delta method for a ratio.

        It is over the draw of prompts, given the table: prompts share its rows, so it does not
        say how another sample of patients or wines would do.
        """
        residuals = self.squares - self.nmse[:, None] * self.of_mean
        scale = math.sqrt(len(self.of_mean)) * self.of_mean.mean()
        return np.asarray(residuals.std(axis=1, ddof=1) / scale)

    @property
    def median(self) -> Floats:
        """Median squared error over that of the examples' mean, of shape (loop,).

        Real tables are heavy-tailed: a few prompts can decide ``nmse``, but not this.
        """
        return np.asarray(np.median(self.squares, axis=1) / np.median(self.of_mean))


@dataclass(frozen=True)
class TableEvaluation:
    """A model's errors on a table, and those of baselines on the same prompts.

    Attributes:
        model: errors after each loop.
        baselines: errors by name: ``mean`` (of the examples' y's), ``least_squares``, ``ridge``.
            The last two have an intercept, which is 0 for standardised examples.
        penalty: ridge's, see ``best_penalty``.
    """

    model: QueryErrors
    baselines: Mapping[str, QueryErrors]
    penalty: float


def _squared_errors(predict: Baseline, xs: Tensor, ys: Tensor) -> Floats:
    """Squared errors at the last query, of shape (loop, prompt), computed batch by batch."""
    batches = zip(*(torch.split(part, PROMPTS_PER_BATCH) for part in (xs, ys)), strict=True)
    parts = [(predict(x, y)[:, :, -1] - y[:, -1]).double().square() for x, y in batches]
    return torch.cat(parts, dim=1).numpy()


def best_penalty(name: str, n_dims: int, n_points: int) -> float:
    """Return the one of ``RIDGE_PENALTIES`` with the least mean squared error.

    It is taken over 2,560 prompts of ``TUNING_SEED``, which are not those that
    ``evaluate_table`` measures but hold rows of the same table: one number that ridge knows of
    the table beforehand, where a model knows nothing.
    """
    xs, ys = table_prompts(name, n_dims, n_points, 2560, TUNING_SEED)

    def error(penalty: float) -> float:
        return float(_squared_errors(partial(ridge, penalty=penalty), xs, ys).mean())

    return min(RIDGE_PENALTIES, key=error)


@torch.no_grad()
def evaluate_table(
    model: LoopedTransformer, name: str, n_loops: int, n_prompts: int = 2560
) -> TableEvaluation:
    """Measure a model and baselines on a table's first prompts of ``HELD_OUT_SEED``.

    Prompts have the model's N and dimensions; of several queries the last counts. A model does
    not say what task it has learned: ask ``check_fits`` first.

    Args:
        model: any looped transformer; ``n_loops`` need not be what it was trained at.
        name: one of ``TABLES``.
        n_loops: loops to run and to measure after each.
        n_prompts: prompts, 2 or more.

    Raises:
        ValueError: the table is unknown or too small for the model, or nothing is to be measured.
    """
    for setting, value, minimum in (("n_loops", n_loops, 1), ("n_prompts", n_prompts, 2)):
        if value < minimum:
            raise ValueError(f"{setting} must be at least {minimum}, got {value}")
    n_dims, n_points = model.config.n_dims, model.config.n_points
    xs, ys = table_prompts(name, n_dims, n_points, n_prompts)
    device = next(model.parameters()).device
    penalty = best_penalty(name, n_dims, n_points)
    predictors: dict[str, Baseline] = {
        "mean": lambda x, y: as_answer(torch.zeros(len(x)), x),
        "least_squares": least_squares,
        "ridge": partial(ridge, penalty=penalty),
        "model": lambda x, y: model(x.to(device), y.to(device), n_loops).cpu(),
    }
    squares = {key: _squared_errors(predict, xs, ys) for key, predict in predictors.items()}
    errors = {key: QueryErrors(of_one, squares["mean"][0]) for key, of_one in squares.items()}
    return TableEvaluation(errors.pop("model"), errors, penalty)
