"""Training length as an axis: what every shorter training reached, read from the curves."""

from analysis.answers.lengths import figures, stretch, text
from analysis.answers.lengths.lengths import Lengths
from analysis.report import drawing
from analysis.report.exhibit import Exhibit


def exhibits(lengths: Lengths | str) -> list[Exhibit]:
    """Draw E against the FLOPs of the training, and phi against its steps.

    Args:
        lengths: what the runs of a task say of them; see ``read_lengths``.
    """
    look_for = (
        "E of every shorter training against what it costs, a line per b: the error on fresh "
        "prompts, averaged over the last tenth of the steps so far. The upper line at some FLOPs "
        "is the b to train for them. Lines are means over seeds, bands the least and the greatest "
        "seed. phi, what a loop is worth in parameters, has 95 % intervals that hold if every "
        "size obeys the joint law."
    )
    title = "Training length"
    if isinstance(lengths, str):
        lack = f"training length: {lengths}"
        return [Exhibit(name="lengths", title=title, look_for=look_for, lacks=(lack,))]
    return [
        Exhibit(
            name="lengths",
            title=title,
            look_for=look_for,
            result=_result(lengths),
            table=lengths.curves,
            figure=drawing.styled(figures.draw)(lengths),
            text="\n".join(text.describe(lengths)),
        )
    ]


def _result(lengths: Lengths) -> str:
    sentences = [text.pair_result(lengths.pairs)] if len(lengths.pairs) else []
    return " ".join([*sentences, stretch.verdict(lengths.shapes)])
