"""A fitted law as a file, ``law.json``: points and parameters, which the rest is computed from.

No pickle. Resamples are drawn again from the seed that is kept.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from analysis.scaling import choice
from analysis.scaling.fit import ScalingFit
from analysis.scaling.form_fit import FitStatus, FormFit
from analysis.scaling.forms import FORMS
from analysis.scaling.points import NEEDED, read_points
from analysis.scaling.sized_form import Law
from analysis.scaling.solver import Observations

LAW = "law.json"
STORED = {*NEEDED, "standard_error", "task", "recipe"}


def save_law(folder: Path, fit: ScalingFit) -> None:
    """Write a fit to a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "points": {
            name: fit.points.table[name].tolist() for name in STORED if name in fit.points.table
        },
        "chosen": fit.chosen,
        "verdict": fit.verdict,
        "skipped": dict(fit.skipped),
        "options": dict(fit.best.options),
        "scale": (fit.best.seen.scale / fit.best.widened).tolist(),
        "fits": {
            name: {
                "theta": each.theta.tolist(),
                "loss": each.loss,
                "widened": each.widened,
                "status": each.status.name,
                "blamed": list(each.blamed),
            }
            for name, each in fit.fits.items()
        },
    }
    (folder / LAW).write_text(json.dumps(content, indent=1), encoding="utf-8")


def load_law(folder: Path) -> ScalingFit:
    """Read what ``save_law`` wrote, without fitting again."""
    content: dict[str, Any] = json.loads((folder / LAW).read_text(encoding="utf-8"))
    points = read_points(content["points"])
    seen = Observations(
        points.values[None],
        np.ones((1, len(points.values))),
        np.array(content["scale"]),
        points.cells,
    )
    fits = {
        name: FormFit(
            Law(FORMS[name], points.sizes),
            points,
            replace(seen, scale=seen.scale * kept["widened"]),
            np.array(kept["theta"]),
            kept["loss"],
            kept["widened"],
            FitStatus[kept["status"]],
            tuple(kept["blamed"]),
            content["options"],
        )
        for name, kept in content["fits"].items()
    }
    comparison = choice.compare(fits)
    return ScalingFit(
        points, fits, content["skipped"], content["chosen"], comparison, content["verdict"]
    )
