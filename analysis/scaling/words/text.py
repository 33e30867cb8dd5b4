"""A fitted law as text, in the manner of lmfit."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import pandas as pd

from analysis.scaling.average import UntestedError
from analysis.scaling.form.fitted_form import FitStatus
from analysis.scaling.form.form_fit import FormFit
from analysis.scaling.run_table import RunTable
from analysis.scaling.solving.resampling import FEW_CLUSTERS
from analysis.scaling.words import form_text
from analysis.scaling.words.form_text import CORRELATED, LEVEL
from looped.counting import counted

WIDTH = 96


class DescribedFit(Protocol):
    """What the text reads of a fit of all forms; ``fit.ScalingFit`` has it."""

    @property
    def run_table(self) -> RunTable:
        """The runs."""

    @property
    def fits(self) -> Mapping[str, FormFit]:
        """By form."""

    @property
    def skipped_forms(self) -> Mapping[str, str]:
        """Forms that were not fitted, and why."""

    @property
    def best_form(self) -> str:
        """Name of the form that predicts."""

    @property
    def best(self) -> FormFit:
        """The fit that predicts."""

    @property
    def status(self) -> FitStatus:
        """How it ended."""

    @property
    def averages(self) -> bool:
        """Whether the average over forms predicts."""

    @property
    def weights(self) -> dict[str, float]:
        """Of the forms that predict."""

    @property
    def general_weight(self) -> float:
        """Of those among them that predict other sizes."""

    @property
    def held_out(self) -> pd.DataFrame:
        """What predicts, of cells left out."""

    @property
    def untested(self) -> UntestedError:
        """What the average misses at b that nobody trained."""

    @property
    def comparison(self) -> pd.DataFrame:
        """A row per form."""

    @property
    def verdict(self) -> str:
        """Which form it is, in words."""


def describe(fit: DescribedFit) -> str:
    """Say which law was fitted to what, how well, and how sure that is.

    Example:
        >>> from analysis.scaling.example import example_fit
        >>> from analysis.scaling.words.text import describe
        >>> describe(example_fit()).splitlines()[1].strip()
        'E_LM = E_M + gain (log2(b))    (logarithmic/shared_gain)'
    """
    best = fit.best
    parts = [
        section("Law", [f"E_LM = {best.sized_form.form.formula}    ({fit.best_form})"]),
        section("Prediction", _prediction(fit), wrap=True),
        section("Fit", _fit_lines(fit)),
        section("Parameters, if this form holds", form_text.parameter_lines(best)),
    ]
    correlations = form_text.correlation_lines(best)
    if correlations:
        parts.append(section(f"Correlations above {CORRELATED:g}", correlations))
    ceiling_lines = form_text.ceiling_lines(best)
    if ceiling_lines:
        parts.append(section("Ceilings", ceiling_lines))
    parts += [
        section("Forms", _form_lines(fit)),
        section("Verdict", [fit.verdict], wrap=True),
        section("What these runs can tell", _identifiability(fit), wrap=True),
    ]
    return "\n".join(parts)


def section(title: str, lines: Sequence[str], wrap: bool = False, hang: bool = False) -> str:
    """Set lines under a title; running text is wrapped.

    Args:
        title: of the section.
        lines: to set.
        wrap: at the margin.
        hang: the same, with what follows a line's first part set in; tables must be narrower.

    Example:
        >>> from analysis.scaling.words.text import section
        >>> print(section("Law", ["E_LM = E_M b^phi"]))
        [[Law]]
            E_LM = E_M b^phi
    """

    def parts(line: str) -> list[str]:
        margin = " " * (len(line) - len(line.lstrip()) + 4) if hang else ""
        return textwrap.wrap(line, WIDTH, subsequent_indent=margin, break_on_hyphens=not hang)

    wrapped_lines = [part for line in lines for part in (parts(line) if wrap or hang else [line])]
    return "\n".join([f"[[{title}]]", *(f"    {line}" for line in wrapped_lines)])


def _fit_lines(fit: DescribedFit) -> list[str]:
    best, run_table = fit.best, fit.run_table
    options = best.options
    kind = "run" if best.cluster_kind == "run" else "(size, seed), all b together"
    n_clusters = int(run_table.clusters(best.cluster_kind).max()) + 1
    bs = ", ".join(f"{b:g}" for b in run_table.bs)
    seeds = np.bincount(run_table.cells)
    is_even = seeds.min() == seeds.max()
    span = counted(seeds.max(), "seed") if is_even else f"{seeds.min()}-{seeds.max()} seeds"
    lines = {
        "runs": f"{len(run_table.values)}: {', '.join(run_table.sizes)} at b = {bs}, {span} a cell",
        "parameters": f"{len(best.theta)}, of them E_M {len(run_table.sizes)}",
        "status": f"{fit.status.name}: {fit.status.value}"
        + (f" ({', '.join(best.blamed_parameters)})" if best.blamed_parameters else ""),
        "loss": f"{best.loss:.4g} ({options['loss']}, in squares of what seeds scatter by)",
        "AICc": f"{best.aicc:.4g}",
        "a run scatters by": f"{best.residual_sd:.3g} bits about the law, "
        f"{best.widening:.3g} times what seeds explain",
        "lack of fit": form_text.adequacy(best.lack_of_fit),
        "seeds": form_text.alike(best),
        "clusters": form_text.why_these_clusters(best),
        "forms compared on": f"{best.n_units:.3g} independent runs"
        + ("" if best.n_units == len(run_table.values) else f" (of {len(run_table.values)})"),
        "intervals": f"{LEVEL:.0%} for the mean over seeds, wild cluster bootstrap, "
        f"{options['resamples']:,} resamples, cluster: {kind} ({n_clusters}), Student's t",
    }
    if run_table.errors.any():
        lines["held-out prompts"] = (
            f"one sample for all runs: standard error {run_table.errors.min():.2g} to "
            f"{run_table.errors.max():.2g} bits, in no interval here"
        )
    if n_clusters < FEW_CLUSTERS:
        lines["few clusters"] = "intervals hang on little; more seeds would narrow them most"
    if fit.run_table.n_duplicates:
        lines["said twice"] = f"{counted(fit.run_table.n_duplicates, 'row')}, counted once"
    width = max(map(len, lines))
    return [f"{name:<{width}} = {value}" for name, value in lines.items()]


def _prediction(fit: DescribedFit) -> list[str]:
    """Say what predicts, and how well it does on what it was not fitted to."""
    if fit.averages:
        n_forms = len(fit.weights)
        lines = [
            f"The average of {n_forms} forms predicts, by their Akaike weights (see Forms)."
            if n_forms > 1
            else f"{fit.best_form} has all the Akaike weight and predicts."
        ]
        lines.append(
            f"Forms that are functions of E_M and b alone have {fit.general_weight:.2f} of the "
            "weight together; they alone predict a size that was not trained."
        )
        lines += _untested(fit)
    else:
        lines = [
            f"{fit.best_form} was asked for and predicts alone; its intervals are right if it is."
        ]
    return lines + _held_out(fit)


def _untested(fit: DescribedFit) -> list[str]:
    error, largest = fit.untested, f"b = {fit.run_table.bs[-1]:g}"
    if len(fit.run_table.bs) < 3:
        return ["At b that nobody trained nothing tests the forms: there is no b to leave out."]
    lines = []
    for place, bits, unit in (
        ("Between the trained b", error.between, "a squared doubling of b"),
        (f"Beyond {largest}, where no run tests any form", error.beyond, "a doubling of b"),
    ):
        lines.append(
            f"{place}, the interval is widened by {bits:.2g} bits {unit}: by so much the average "
            "missed a b that was left out more than it said itself."
            if bits
            else f"{place}, the interval is not widened: the average missed the b that was left "
            "out by no more than it said itself."
        )
    return lines


def _held_out(fit: DescribedFit) -> list[str]:
    """Compare the errors on what was left out with a guess's, on the same cells."""
    words = {
        "b": ("one b left out", "a straight line in log b between its neighbours"),
        "size": ("one size left out beyond b = 1", "the mean gain of the other sizes"),
    }
    lines = []
    for kind, rows in fit.held_out.groupby("left_out"):
        both = rows.dropna(subset=["error", "guess_error"])
        if both.empty:
            continue
        law, guess = (float(np.sqrt((both[n] ** 2).mean())) for n in ("error", "guess_error"))
        title, guess_title = words[str(kind)]
        verdict = "the law is nearer" if law < guess else "the law does not beat it"
        lines.append(
            f"With {title} ({len(both)} cells) the prediction errs by {law:.3f} bits, "
            f"{guess_title} by {guess:.3f}: {verdict}."
        )
    return lines


def _form_lines(fit: DescribedFit) -> list[str]:
    table = fit.comparison
    width = max(map(len, [*table["form"], *fit.skipped_forms]))
    header = (
        f"{'form':<{width}}  par  delta AICc  weight  without a b  without a size  status   "
        "(held-out errors: rms, bits)"
    )
    lines = [header]
    for row in table.itertuples():
        lines.append(
            f"{row.form:<{width}}  {row.parameters:>3}  {row.delta:>10.2f}  {row.weight:>6.3f}  "
            f"{_bits(row.leave_one_b_out):>11}  {_bits(row.leave_one_size_out):>14}  {row.status}"
        )
    lines += [
        f"{name:<{width}}  not fitted: {reason}" for name, reason in fit.skipped_forms.items()
    ]
    return lines


def _identifiability(fit: DescribedFit) -> list[str]:
    n_bs = len(fit.run_table.bs)
    lines = [
        f"{n_bs} values of b give a size {n_bs} means, which is E_M and {n_bs - 1} more numbers "
        "at most, with none to spare to test them by. So most forms share exponents and rates "
        "among the sizes. A form with a gain per size tells whether a gain that is a function of "
        "E_M is enough, and one with a shape of its own for each size whether shapes differ; "
        "neither predicts another size.",
    ]
    doubtful = fit.comparison[fit.comparison["status"] != "OK"]
    for name in doubtful["form"]:
        form_fit = fit.fits[name]
        names = form_fit.blamed_parameters
        suffix = f" ({', '.join(names)})" if names else ""
        lines.append(f"{name}: {form_fit.status.value}{suffix}.")
    return lines


def _bits(value: float) -> str:
    return "-" if pd.isna(value) else f"{value:.3f}"
