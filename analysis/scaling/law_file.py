"""A fitted law as a file, ``law.json``: runs and parameters, which the rest is computed from.

No pickle. Resamples are drawn again from the seed that is kept.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from analysis.scaling.fit import ScalingFit, compare
from analysis.scaling.form.fitted_form import FitStatus
from analysis.scaling.form.form_fit import FormFit
from analysis.scaling.form.own_forms import find_again, form_of, references_of
from analysis.scaling.form.sized_form import SizedForm
from analysis.scaling.run_table import NEEDED, read_run_table
from analysis.scaling.solving.solver import Observations

LAW = "law.json"
STORED = {*NEEDED, "standard_error", "task", "recipe"}


def save_law(folder: Path, fit: ScalingFit) -> None:
    """Write a fit to a folder, which is made.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from analysis.scaling.example import example_fit
        >>> from analysis.scaling.law_file import save_law
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_law(Path(folder), example_fit())
        ...     [path.name for path in Path(folder).iterdir()]
        ['law.json']
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "points": {
            name: fit.run_table.rows[name].tolist() for name in STORED if name in fit.run_table.rows
        },
        "chosen": fit.best_form,
        "averages": fit.averages,
        "verdict": fit.verdict,
        "skipped": dict(fit.skipped_forms),
        "own": references_of(list(fit.fits)),
        "options": dict(fit.best.options),
        "scale": (fit.best.observations.scale / fit.best.widening).tolist(),
        "fits": {
            name: {
                "theta": form_fit.theta.tolist(),
                "loss": form_fit.loss,
                "common_loss": form_fit.common_loss,
                "common_widening": form_fit.common_widening,
                "units": form_fit.n_units,
                "widened": form_fit.widening,
                "status": form_fit.status.name,
                "blamed": list(form_fit.blamed_parameters),
            }
            for name, form_fit in fit.fits.items()
        },
    }
    (folder / LAW).write_text(json.dumps(content, indent=1), encoding="utf-8")


def load_law(folder: Path) -> ScalingFit:
    """Read what ``save_law`` wrote, without fitting again.

    Raises:
        ValueError: it was fitted with a form of somebody's own that is not here.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from analysis.scaling.example import example_fit
        >>> from analysis.scaling.law_file import load_law, save_law
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_law(Path(folder), example_fit())
        ...     load_law(Path(folder)).predict({"size": ["tiny"], "b": [16]}).round(2)
        array([3.])
    """
    content: dict[str, Any] = json.loads((folder / LAW).read_text(encoding="utf-8"))
    find_again(content.get("own", {}))
    run_table = read_run_table(content["points"])
    observations = Observations(
        run_table.values[None],
        np.ones((1, len(run_table.values))),
        np.array(content["scale"]),
        run_table.cells,
    )
    fits = {
        name: FormFit(
            sized_form=SizedForm(form_of(name), run_table.sizes),
            run_table=run_table,
            observations=replace(observations, scale=observations.scale * stored_fit["widened"]),
            theta=np.array(stored_fit["theta"]),
            loss=stored_fit["loss"],
            # older files lack these: each form was compared on its own scale
            common_loss=stored_fit.get("common_loss", stored_fit["loss"]),
            common_widening=stored_fit.get("common_widening", stored_fit["widened"]),
            n_units=stored_fit.get("units", len(run_table.values)),
            widening=stored_fit["widened"],
            status=FitStatus[stored_fit["status"]],
            blamed_parameters=tuple(stored_fit["blamed"]),
            options=content["options"],
        )
        for name, stored_fit in content["fits"].items()
    }
    # laws of before predict by the form that was chosen then
    is_average = content.get("averages", False)
    fit = compare(run_table, fits, content["skipped"], content["chosen"], is_average)
    return replace(fit, verdict=content["verdict"])
