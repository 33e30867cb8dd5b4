"""What the curves of the trainings say: phi by length, which b at equal FLOPs and for a budget."""

from collections.abc import Callable, Iterable, Sequence

from analysis.answers.lengths.lengths import Lengths, read_lengths
from analysis.answers.lengths.phi import PhiByLength
from analysis.answers.lengths.text import pair_result
from analysis.answers.rates import law_line, read_rates
from analysis.findings.markdown import Lines, header, heading, interval, listed, row
from analysis.findings.recipes import Recipe, Study


def length_tables(recipes: Iterable[Recipe], resamples: int) -> dict[str, Lines]:
    """Write the three tables that rest on training curves, each recipe for itself.

    Args:
        recipes: with the loss on all loops.
        resamples: of the bootstrap at each length of training.
    """
    lengths = [
        (
            f"{recipe.letter}: {recipe.title}",
            read_lengths([run for run in recipe.runs if run.has_learned], resamples),
        )
        for recipe in recipes
    ]

    def by_recipe(lines_of: Callable[[Lengths], Lines]) -> Lines:
        lines: Lines = []
        for title, of_recipe in lengths:
            lines += heading(title)
            lines += [of_recipe] if isinstance(of_recipe, str) else lines_of(of_recipe)
        return lines[1:]

    return {"phi": by_recipe(_phi), "equal-flops": by_recipe(_pairs), "budgets": by_recipe(_best)}


def rates_table(studies: Sequence[Study], resamples: int) -> Lines:
    """Write what the size's own rate costs, in the studies that tried others."""
    lines: Lines = []
    for study in studies:
        rates = read_rates(study.runs, resamples)
        if rates is None:
            continue
        columns = ["size", "b", "seeds", "rates tried, times the own", "regret, bits"]
        columns += ["95 % interval", "greatest mean at"]
        lines += heading(f"{study.title}, {study.weights} weights") + header(columns)
        for regret in rates.regrets.to_dict("records"):
            edge = f" (the {regret['edge']} tried)" if regret["edge"] else ""
            cells = [regret["size"], regret["b"], regret["seeds"], regret["factors"]]
            cells += [f"{max(regret['regret'], 0):.2f}"]
            cells += [interval(regret["regret_low"], regret["regret_high"])]
            lines.append(row([*cells, f"{regret['best_factor']:g}{edge}"]))
        lines += ["", law_line(rates.law)]
    return lines[1:] or ["No kept study trains at several rates."]


def _phi(lengths: Lengths) -> Lines:
    if not isinstance(lengths.phi, PhiByLength):
        return [f"No phi: {lengths.phi}."]
    lines = header(["steps", "phi", "if every size obeys the law", "sizes may lie off it"])
    for at_length in lengths.phi.table.to_dict("records"):
        of_runs = interval(at_length["lower_runs"], at_length["upper_runs"])
        of_sizes = interval(at_length["lower"], at_length["upper"])
        steps, phi = f"{at_length['steps']:,.0f}", f"{at_length['phi']:.2f}"
        lines.append(row([steps, phi, of_runs, of_sizes]))
    if lengths.phi.rise is not None:
        rise, low, high = lengths.phi.rise
        words = f"From the shortest to the longest phi moves by {rise:+.2f} {interval(low, high)}"
        lines += ["", f"{words}, if every size obeys the law."]
    return lines


def _pairs(lengths: Lengths) -> Lines:
    if not len(lengths.pairs):
        return ["No b has a larger one beside it."]
    columns = ["size", "smaller b", "larger b", "bits more by the smaller", "95 % interval"]
    lines = header(columns)
    for pair in lengths.pairs.to_dict("records"):
        smaller = f"{pair['b']} ({pair['steps']:,.0f} steps)"
        larger = f"{pair['larger_b']} ({pair['larger_steps']:,.0f} steps)"
        difference = f"{pair['difference']:+.2f}"
        ends = interval(pair["lower"], pair["upper"])
        lines.append(row([pair["size"], smaller, larger, difference, ends]))
    return [*lines, "", pair_result(lengths.pairs)]


def _best(lengths: Lengths) -> Lines:
    columns = ["size", "FLOPs", "best b", "steps", "bits", "not shown to be worse", "had ended"]
    lines = header(columns)
    for best in lengths.best.to_dict("records"):
        if best["asked"] < 2:
            continue  # nothing to choose from
        cells = [
            best["size"],
            f"{best['budget']:.0e}",
            best["b"],
            f"{best['steps']:,.0f}",
            f"{best['mean']:.2f}",
            listed(best["as_good"]) or "-",
            listed(best["ended"]) or "-",
        ]
        lines.append(row(cells))
    return lines
