"""One figure of the report with what belongs to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd
from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """A figure, the table behind it, and what to see in it.

    Attributes:
        name: of its files.
        title: a few words.
        look_for: what the figure shows, and how to read it.
        result: what is there, computed from the table.
        table: every number that the figure shows.
        figure: None where there is nothing to draw.
        lacks: why there is nothing to draw, or what the figure lacks.
        text: more, as preformatted text.
        details: further tables, by what they hold.
        shown_table: what there is to see in place of a figure.
    """

    name: str
    title: str
    look_for: str
    result: str = ""
    table: pd.DataFrame = field(default_factory=pd.DataFrame)
    figure: Figure | None = None
    lacks: tuple[str, ...] = ()
    text: str = ""
    details: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    shown_table: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def caption(self) -> str:
        """What is to be seen, and what is there."""
        return " ".join(part for part in (self.look_for, self.result) if part)
