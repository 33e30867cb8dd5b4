"""What a table of losses tells: the law of b, the joint law of size and loops, curves over loops.

Each part that the table cannot give says why; a table that gives none is refused. The joint law is
fitted to the losses as they are, with the part that no model can go below as one of its parameters;
the law of b and the curves are in bits, see ``units``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.answers.joint_law import NMSE, JointFit, Quantity, fit_joint
from analysis.loss_tables.curves import curves_of
from analysis.loss_tables.files import LossTableError, Row, check, read_rows
from analysis.loss_tables.reading import LossTable, read_table
from analysis.loss_tables.units import UNITS, Conversion
from analysis.scaling.fit import FORMS, ScalingFit, fit_scaling
from analysis.scaling.form.forms import REFERENCE_BITS
from analysis.scaling.run_table import ONE_OF, RunTableError
from looped.names import Metric

NEEDS_ORIGIN = ("power", "power/per_size")
"""Forms that multiply E_M, and so hang on where E is 0."""


@dataclass(frozen=True, kw_only=True)
class TableFit:
    """A table of losses with what it tells; a part that is text says why there is none.

    Attributes:
        name: of the table.
        table: the losses.
        conversion: how they became bits.
        fit: the law of b.
        joint: the joint law of size and loops.
        curves: over the loops that were run, a row each: ``size``, ``b``, ``seed``,
            ``n_evaluated``, ``best_loop`` and ``last_loop`` with the bits there, as measured, and
            the columns of ``loop_curves.fit_curves``.
        notices: what was left out or assumed, in sentences.
    """

    name: str
    table: LossTable
    conversion: Conversion
    fit: ScalingFit | str
    joint: JointFit | str
    curves: pd.DataFrame | str
    notices: tuple[str, ...]

    @property
    def account(self) -> str:
        """Say what the law was fitted to, in a line."""
        if isinstance(self.fit, str):
            return f"{self.name}: no law of b, since {self.fit}"
        n_runs = len(self.fit.run_table.values)
        return f"{n_runs} losses of the table {self.name}; {self.conversion.formula}"


def fit_table(
    source: str | Path | pd.DataFrame | Sequence[Row],
    unit: str,
    columns: Mapping[str, str] | None = None,
    bits: str = "ratio",
    reference: float | None = None,
    floor: float | None = None,
    where: Mapping[str, str] | None = None,
    sizes: Sequence[str] | None = None,
    bs: Sequence[int] | None = None,
    with_plateaued: bool = False,
    form: str | None = None,
    loss: str = "huber",
    clusters: str = "auto",
    resamples: int = 1000,
    seed: int = 0,
    name: str = "",
) -> TableFit:
    """Fit what a table of losses tells.

    Args:
        source: a file (CSV, TSV, JSON lines or Parquet), a data frame, or rows; a row for each
            loss that was measured.
        unit: of the values, one of ``units.UNITS``.
        columns: by role (``reading.ROLES``), what the table calls it.
        bits: ``ratio`` or ``difference``; see ``units``.
        reference: value at which E is 0; 1 for NMSE, else so that the largest mean loss at b = 1
            is 2 bits.
        floor: the part of the loss that no model can go below.
        where: by column, the value that rows must have.
        sizes: those wanted.
        bs: those wanted.
        with_plateaued: keep rows whose column ``plateau`` is true; those that ``diverged`` never.
        form: as in ``fit_scaling``; so are the rest.
        loss: of residuals.
        clusters: what errs by itself.
        resamples: of the bootstrap.
        seed: of the bootstrap.
        name: of the table; a file's own if left out.

    Raises:
        LossTableError: the table breaks a rule, or no law can be fitted to it.
        ValueError: an option breaks its rule.

    Example:
        >>> losses = {"S": (3.4, 3.3, 3.2), "L": (3.1, 3.02, 2.95)}
        >>> rows = [
        ...     {"size": size, "b": b, "seed": seed, "loss": value + 0.01 * seed}
        ...     for size, values in losses.items()
        ...     for b, value in zip((1, 2, 4), values)
        ...     for seed in (0, 1)
        ... ]
        >>> table_fit = fit_table(rows, "nats", reference=8.0, resamples=100)
        >>> table_fit.conversion.formula
        'E = log2(8 / nats), in bits'
        >>> table_fit.fit.predict({"size": ["S"], "b": [1]}).round(2)
        array([1.23])
    """
    conversion = Conversion(unit=unit, way=bits, reference=reference, floor=floor)
    rows, name = _rows_of(source, name)
    table = read_table(rows, conversion, columns, where, with_plateaued)
    table = _of(table, sizes, bs)
    notices = list(table.notices)
    has_origin = conversion.has_origin
    if not has_origin:
        conversion = _with_reference(conversion, table, notices)
    options = {"loss": loss, "resamples": resamples, "seed": seed}
    forms = None if has_origin else [name for name in FORMS if name not in NEEDS_ORIGIN]
    rule = f"form must be one of {', '.join(forms or FORMS)} without a reference"
    check(form is None or form not in FORMS or form in (forms or FORMS), rule, form)
    fit = _law(table, conversion, forms, notices, form=form, clusters=clusters, **options)
    joint = _joint(table, conversion, notices, **options)
    curves = curves_of(table, conversion)
    if all(isinstance(part, str) for part in (fit, joint, curves)):
        raise LossTableError(f"{fit}; nor anything else: {joint}; {curves}")
    return TableFit(
        name=name,
        table=table,
        conversion=conversion,
        fit=fit,
        joint=joint,
        curves=curves,
        notices=tuple(notices),
    )


def _rows_of(source: object, name: str) -> tuple[Sequence[Row], str]:
    if isinstance(source, str | Path):
        return read_rows(Path(source)), name or Path(source).name
    if isinstance(source, pd.DataFrame):
        names = [str(column) for column in source.columns]
        check(len(set(names)) == len(names), "columns must differ in their names", names)
        frame = source.set_axis(names, axis=1).astype(object)
        frame = frame.where(frame.notna(), None)
        return frame.to_dict("records"), name or "table"
    return list(source), name or "table"  # type: ignore[call-overload]


def _of(table: LossTable, sizes: Sequence[str] | None, bs: Sequence[int] | None) -> LossTable:
    """Take the sizes and b that are wanted."""
    rows = table.rows
    for name, column, names_wanted in (("sizes", "size", sizes), ("bs", "b", bs)):
        if names_wanted is not None:
            there = ", ".join(
                f"{value:g}" if name == "bs" else value for value in rows[column].unique()
            )
            unknown_names = [value for value in names_wanted if value not in set(rows[column])]
            check(
                not unknown_names,
                f"{name} must be among {there}",
                ", ".join(map(str, unknown_names)),
            )
            rows = rows[rows[column].isin(names_wanted)]
    check(len(rows) > 0, "sizes and bs must leave rows", "none")
    return replace(table, rows=rows.reset_index(drop=True))


def _with_reference(conversion: Conversion, table: LossTable, notices: list[str]) -> Conversion:
    """Take the reference from the table, since nobody gave one.

    It puts the largest loss where forms state a gain that depends on E_M.
    """
    rows, what = table.at_b, "mean loss of a size at b = 1"
    at_one = rows[rows["b"] == 1]
    if at_one.empty:
        what, largest = "loss of the table", float(table.rows["value"].max())
    else:
        largest = float(at_one.groupby("size")["value"].mean().max())
    of_largest = replace(conversion, reference=largest)
    (reference,) = of_largest.values([-REFERENCE_BITS])
    notices.append(
        f"no reference was given: {REFERENCE_BITS:g} bits are the largest {what}, {largest:.6g}. "
        "Gains do not hang on it; E_M does, so forms that multiply E_M (power) are left out"
    )
    return replace(conversion, reference=float(reference))


def _law(
    table: LossTable,
    conversion: Conversion,
    forms: Sequence[str] | None,
    notices: list[str],
    **options: Any,
) -> ScalingFit | str:
    if "b" not in table.columns:
        return "a law of b needs the loops that each model was trained at, got no column b"
    rows = table.at_b
    if rows.empty:
        return "a law of b needs losses after b loops, got none at loop = b"
    if "length" in rows:
        lengths = rows.groupby(["size", "b", "seed"], sort=False)["length"].nunique(dropna=False)
        several_lengths = lengths[lengths > 1]
        if len(several_lengths):
            size, b, _ = several_lengths.index[0]
            return (
                "a law of b needs one length of training for each size, b and seed (choose with "
                f"where), got {several_lengths.iloc[0]} of {size} at b = {b:g}"
            )
        known_lengths = rows["length"].dropna()
        if known_lengths.nunique() > 1:
            span = f"{known_lengths.min():g} to {known_lengths.max():g}"
            notices.append(
                f"trainings differ in length, {span}: the law of b compares them as they are, so "
                "that a gain of b holds what their length does"
            )
    sizes_at_one = set(rows.loc[rows["b"] == 1, "size"])
    left_out = sorted(set(rows["size"]) - sizes_at_one)
    if left_out and sizes_at_one:
        rows = rows[rows["size"].isin(sizes_at_one)]
        notices.append(
            f"left out of the law of b, as they have no loss at b = 1: {', '.join(left_out)}"
        )
    points = rows[["size", "b", "seed", *(name for name in ONE_OF if name in rows)]].assign(
        expressivity=conversion.bits(rows["value"].to_numpy(float))
    )
    if "value_se" in rows and rows["value_se"].notna().all():
        errors = rows["value_se"].to_numpy(float)
        points["standard_error"] = conversion.bits_error(rows["value"].to_numpy(float), errors)
    try:
        return fit_scaling(points, forms, **options)
    except RunTableError as error:
        return str(error)


def _joint(
    table: LossTable,
    conversion: Conversion,
    notices: list[str],
    **options: Any,
) -> JointFit | str:
    rows = table.at_b
    weights = [name for name in ("n_rec", Metric.N_PARAMS) if name in rows]
    if rows.empty or not weights:
        return "the joint law needs the weights of each size, got no column n_params or n_rec"
    once = rows["n_once"] if "n_once" in rows else pd.Series(0.0, index=rows.index)
    rec = rows["n_rec"] if weights[0] == "n_rec" else rows[Metric.N_PARAMS] - once
    losses = conversion.losses(rows["value"].to_numpy(float))
    is_nmse = UNITS[conversion.unit].reference == 1 or conversion.unit == "expressivity"
    unit = 1.0 if is_nmse else float(losses.max())
    # without seeds nothing says that trainings err together: each is one for itself
    seeds = rows["seed"] if table.has_seeds else [str(index) for index in range(len(rows))]
    points = pd.DataFrame(
        {"size": rows["size"], "b": rows["b"], "n_once": once, "n_rec": rec}
    ).assign(seed=seeds, expressivity=-0.5 * np.log2(losses / unit))
    if "length" in rows:
        points["steps"] = rows["length"]
    is_whole = points.notna().all(axis=1)
    if not is_whole.all():
        points = points[is_whole]
        what = " or ".join(name for name in ("weights", "length") if name in ("weights", *rows))
        notices.append(f"left out of the joint law, without {what}: {(~is_whole).sum()} losses")
    if (points["n_rec"] <= 0).any():
        return "the joint law needs n_params above n_once, got a size with none that are looped"
    loss = "log2(perplexity)" if conversion.unit == "perplexity" else conversion.unit
    length = table.columns.get("length", "length")
    quantity = NMSE if is_nmse else Quantity(loss=loss, length=length, unit=unit)
    try:
        return fit_joint(
            points.reset_index(drop=True),
            quantity=quantity,
            with_loops=bool(points["b"].nunique() > 1),
            **options,
        )
    except RunTableError as error:
        return str(error)
