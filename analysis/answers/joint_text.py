"""The joint law in words: its parameters, whether it fits, and what phi hangs on."""

import math

from analysis.answers.joint_checks import FEW_SIZES
from analysis.answers.joint_law import MISFIT, NMSE, PUBLISHED_PHI, JointFit

ENOUGH_LENGTHS = 3
"""Of trainings; with fewer a floor and a term that falls with the steps are one."""

WITH_SIZES = "sizes may lie off the law"
RUNS_ALONE = "if every size obeys it"


def describe(fit: JointFit) -> list[str]:
    """Say what was found, in lines."""
    lines = [
        _formula(fit),
        *_parameter_lines(fit),
        *_interval_lines(fit),
        *_fit_lines(fit),
        *(
            _phi_lines(fit)
            if _has_phi(fit)
            else ["all runs are at b = 1, which say nothing of phi"]
        ),
        f"{fit.n_runs} runs scatter by {_distance(fit, fit.rmse)} about it",
    ]
    if not fit.converged:
        lines.append("the search did not come to rest: take these values for nothing")
    return lines


def _has_phi(fit: JointFit) -> bool:
    return "phi" in set(fit.parameters["name"])


def _distance(fit: JointFit, bits: float) -> str:
    """Write how far off something is: in bits of E, or in per cent of a loss that is no NMSE."""
    if fit.quantity == NMSE:
        return f"{bits:.3g} bits"
    return f"{100 * math.expm1(2 * math.log(2) * bits):.2g} % of the loss"


def _formula(fit: JointFit) -> str:
    weights = "(N_once + b^phi N_rec)" if _has_phi(fit) else "(N_once + N_rec)"
    formula = f"{fit.quantity.loss} = L_inf + A ({weights} / {fit.n_reference:,.0f})^-alpha"
    if fit.steps_reference is not None:
        formula += f" + B ({fit.quantity.length} / {fit.steps_reference:,.0f})^-beta"
    return formula


def _parameter_lines(fit: JointFit) -> list[str]:
    table = fit.parameters
    spans = [_span(low, high) for low, high in zip(table["lower"], table["upper"], strict=True)]
    of_runs = [
        _span(low, high) for low, high in zip(table["lower_runs"], table["upper_runs"], strict=True)
    ]
    width = max(len(WITH_SIZES), *map(len, spans))
    lines = [f"{'':<17}  {WITH_SIZES:<{width}}  {RUNS_ALONE}"]
    for row, span, span_of_runs in zip(table.to_dict("records"), spans, of_runs, strict=True):
        line = f"{row['name']:<5} : {row['value']:>9.4g}  {span:<{width}}  {span_of_runs}"
        if row["at_bound"]:
            line += "  at the edge of what was searched"
        lines.append(line)
    return lines


def _span(lower: float, upper: float) -> str:
    return f"[{lower:.4g}, {upper:.4g}]"


def _interval_lines(fit: JointFit) -> list[str]:
    n_sizes = len(fit.sizes)
    if fit.is_by_leaving_out:
        how = f"leaving out each of {n_sizes} sizes in turn"
    else:
        how = f"a wild bootstrap with {n_sizes} sizes as its clusters, as none can be left out"
    lines = [
        f"95 % intervals, Student's t: the first by {how}; cut at the edge of what was searched"
    ]
    if "steps" in fit.cells and fit.cells["steps"].nunique() < ENOUGH_LENGTHS:
        lines.append("two lengths of training cannot part L_inf, B and beta: take none for itself")
    return lines


def _fit_lines(fit: JointFit) -> list[str]:
    if fit.fits is None:
        return ["lack of fit: cannot be tested, as there are no runs to spare"]
    chance, beside = fit.lack_of_fit, f" ({fit.lack_of_fit_alike:.2g} if all sizes scatter alike)"
    if math.isnan(chance):
        chance, beside = fit.lack_of_fit_alike, ", taking all sizes to scatter alike"
    verdict = "nothing against the law"
    if not fit.fits:
        verdict = f"the law does not fit these runs (at the {MISFIT:.0%} level)"
    cells = fit.cells.assign(off=fit.cells["mean"] - fit.cells["expected"])
    row = cells.loc[cells["off"].abs().idxmax()]
    place = f"{row['size']} at b = {row['b']:g}"
    if "steps" in cells:
        place += f" after {row['steps']:,.0f} {fit.quantity.length}"
    is_above = (row["off"] > 0) == (fit.quantity == NMSE)  # E rises as a loss falls
    how_far = (
        f"{abs(row['off']):.2f} bits" if fit.quantity == NMSE else _distance(fit, abs(row["off"]))
    )
    side = f"{how_far} {'above' if is_above else 'below'}"
    return [
        f"lack of fit: chance {chance:.2g} of the cells' means lying so far off it{beside}",
        f"    {verdict}; farthest off is {place}, {side}",
    ]


def _phi_lines(fit: JointFit) -> list[str]:
    value, lower, upper = PUBLISHED_PHI
    published = (
        f"language models, of cross-entropy: phi {value} [{lower}, {upper}] (arXiv:2604.21106)"
    )
    lines = []
    if len(fit.sizes) <= FEW_SIZES:
        lines = [
            f"{len(fit.sizes)} sizes cannot part phi from what else differs between them, such as "
            "depth, width, heads and learning rate"
        ]
    if len(fit.sizes) > FEW_SIZES:
        table = fit.phi_by_sizes.sort_values("phi")
        ends = [f"{row.phi:.3g} (without {row.left_out})" for row in table.itertuples()]
        return [*lines, f"phi without one size lies between {ends[0]} and {ends[-1]}", published]
    for row in fit.phi_by_sizes.to_dict("records"):
        part = f"without {row['left_out']}" if row["left_out"] else f"of {row['sizes']} alone"
        if row["left_out"] and row["sizes"].count(",") == 1:
            part += f" ({row['sizes']})"
        edge = ", at the edge of what was searched" if row["at_bound"] else ""
        lines.append(f"phi {part}: {row['phi']:.3g}{edge}")
    return [*lines, published]
