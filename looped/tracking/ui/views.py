"""Saved views that each experiment is given: what to compare is in the table as it opens.

MLflow keeps a view as a tag of the experiment. The format is its own and may change, so a view is
planted once, if at all: what a person made of it stays, and no command fails for want of one.
"""

import base64
import json
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from looped.names import Kind, Metric, Param, Tag

_LOOPS = "Error over loops"


@dataclass(frozen=True, kw_only=True)
class View:
    """A view of an experiment's runs.

    Attributes:
        key: under which MLflow keeps it.
        name: in the menu **Views**.
        title: what it shows, in words.
        state: what MLflow's page remembers of itself.
        charts: whether it shows charts beside the runs, not a table.
    """

    key: str
    name: str
    title: str
    state: Mapping[str, Any]
    charts: bool = False

    @property
    def tag(self) -> tuple[str, str]:
        """The experiment's tag: its name and what it holds, as of now."""
        now = round(time.time() * 1000)
        packed = base64.b64encode(zlib.compress(json.dumps(self.state).encode())).decode()
        content = {"name": self.name, "createdAt": now, "updatedAt": now}
        return Tag.VIEW + self.key, json.dumps({**content, "state": f"deflate;{packed}"})


def _column(kind: str, name: str) -> str:
    return f"{kind}.`{name}`"


def _chart(uuid: str, metrics: Sequence[str]) -> dict[str, Any]:
    """Describe a chart of curves over their steps, the y axis logarithmic; MLflow names it."""
    return {
        "uuid": uuid,
        "type": "LINE",
        "runsCountToCompare": 100,
        "metricSectionId": _LOOPS,
        "deleted": False,
        "isGenerated": False,
        "metricKey": metrics[0],
        "selectedMetricKeys": list(metrics),
        "lineSmoothness": 0,
        "scaleType": "log",
        "xAxisScaleType": "linear",
        "xAxisKey": "step",
        "useGlobalXaxisKey": False,
        "useGlobalLineSmoothing": False,
        "displayPoints": False,
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "selectedXAxisMetricKey": "",
        "ignoreOutliers": False,
        "range": {},
    }


def _section(name: str, is_open: bool = False, **further: Any) -> dict[str, Any]:
    """Describe a section of charts; MLflow makes those that are missing, and opens them.

    A metric's section is what stands before its slash, or ``Model metrics``.
    """
    return {
        "uuid": name,
        "name": name,
        "display": is_open,
        "isReordered": False,
        "deleted": False,
        "isGenerated": False,
        **further,
    }


_NAME, _SIZE, _B, _SEED = (
    _column("attributes", "Run Name"),
    *(_column("params", name) for name in (Param.SIZE, Param.B, Param.SEED)),
)
_ERROR = _column("metrics", Metric.NMSE)
_BITS = _column("metrics", Metric.BITS)
_RATIO = _column("metrics", f"{Metric.EXTRAPOLATION}ratio_b_max_to_b")
_ERROR_OF_CELL = _column("metrics", Metric.CELL_NMSE_AT_B)
_BAND = (Metric.CELL_NMSE, f"{Metric.CELL_NMSE}_lower", f"{Metric.CELL_NMSE}_upper")

TRAININGS = View(
    key="looped-trainings",
    name="Trainings by error",
    title="all trainings, the lowest error first",
    state={
        "searchFilter": f"tags.\"{Tag.KIND}\" = '{Kind.TRAINING}'",
        "orderByKey": _ERROR,
        "orderByAsc": True,
        "selectedColumns": [_SIZE, _B, _SEED, _ERROR, _BITS, _RATIO],
        "columnOrder": [_NAME, _SIZE, _B, _SEED, _ERROR, _BITS, _RATIO],
        "columnWidths": {
            **{_NAME: 260, _SIZE: 80, _B: 60, _SEED: 80},
            **{_ERROR: 130, _BITS: 120, _RATIO: 220},
        },
        "groupBy": {
            "aggregateFunction": "average",
            # tags: the parameters of `mlflow run` are spelt as they were given, as 5.0
            "groupByKeys": [{"mode": "tag", "groupByData": name} for name in (Tag.SIZE, Tag.B)],
        },
    },
)

CELLS = View(
    key="looped-cells",
    name="Cells over loops",
    title="all cells over loops, mean and 95 % band over seeds",
    charts=True,
    state={
        "searchFilter": f"tags.\"{Tag.KIND}\" = '{Kind.CELL}'",
        "orderByKey": _ERROR_OF_CELL,
        "orderByAsc": True,
        "selectedColumns": [_SIZE, _B, _ERROR_OF_CELL, _column("metrics", f"{Metric.CELL}seeds")],
        "runsHiddenMode": "SHOW_ALL",
        "isAccordionReordered": True,  # as they are, not by their names
        "compareRunSections": [
            _section(_LOOPS, is_open=True, columns=2, cardHeight=480),
            *(_section(name) for name in ("cell", "Model metrics", "System metrics")),
        ],
        "compareRunCharts": [
            _chart("looped-mean", _BAND[:1]),
            _chart("looped-band", _BAND),  # MLflow dashes the lower end and dots the upper
        ],
    },
)

VIEWS = (TRAININGS, CELLS)
