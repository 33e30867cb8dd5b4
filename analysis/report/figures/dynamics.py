"""What the state of each run does beyond b, as a table and in a sentence."""

import pandas as pd

from analysis.report.subject import Subject
from looped.evaluation.behaviour import MIXED, word_of

COLUMNS = [
    *("size", "b", "seed", "state", "share", "lower", "upper", "prompts", "loops"),
    *("spectral_radius", "radius_least", "radius_most", "band_first", "band_last"),
]
WHAT = (
    "what the state does beyond b (share of prompts, 95 % interval), the spectral radius of the "
    "loop's Jacobian at its last state, the band of loops as good as the best"
)


def states(subject: Subject) -> pd.DataFrame:
    """Tabulate what the state of each run does; see ``COLUMNS``.

    ``state`` is ``behaviour.word_of`` and ``share`` that of the prompts which do so, with its
    interval; a mixed run has none. Runs of which neither that nor the band is known are left out,
    and so are plateaued ones.
    """
    rows = []
    for run in subject.evaluated_runs:
        values, band = run.dynamics, run.band
        if run.is_plateau or not (values or band):
            continue
        word = word_of(values) if values else None
        ends = [values.get(f"{word}{end}") for end in ("", "_lower", "_upper")]
        radii = [values.get(f"spectral_radius{end}") for end in ("", "_least", "_most")]
        rows.append(
            (run.config.size, run.config.b, run.config.seed, word, *ends, values.get("prompts"),
             values.get("loops"), *radii, *(band or (None, None)))
        )  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def result(table: pd.DataFrame) -> str:
    """Say how many runs of each size do what, and how steep the loop is there."""
    told_rows = table[table["state"].notna()]
    if not len(told_rows):
        return ""
    sentences = []
    for size, rows in told_rows.groupby("size", sort=False):
        counts = rows["state"].value_counts()
        words = [f"{'is ' if word in (MIXED, 'undecided') else ''}{word} in {count} of {len(rows)}"
                 for word, count in counts.items()]  # fmt: skip
        radii = rows["spectral_radius"].dropna()
        steep = f" (spectral radius {radii.min():.2f} to {radii.max():.2f})" if len(radii) else ""
        noun = "run" if len(rows) == 1 else "runs"
        sentences.append(f"{size} {', '.join(words)} {noun}{steep}")
    return f"What the state does beyond b: {'; '.join(sentences)}."
