"""Predict the expressivity of a looped model, trained or not, from the registered law."""

import json
import math
import os
import sys
from dataclasses import dataclass
from typing import Any

from entrypoints.command_line import arguments, outcome, terminal
from looped.grid.places import expanded
from looped.rules import require, require_whole, setting

REGISTERED = ("models:/", "runs:/")
"""How the URI of a law begins that is in a store, not in a folder."""


@dataclass(frozen=True)
class PredictOptions:
    """Which model to predict, and by which law."""

    size: str | None = setting(None, "a size that the law was fitted to")
    E_M: float | None = setting(None, "in place of a size: expressivity at b = 1, in bits")
    E_M_se: float | None = setting(None, "standard error of that E_M, in bits; auto: exact")
    b: int = setting(5, "loops to train at")
    law: str | None = setting(
        None, "the law, as models:/looped-scaling-law@champion; auto: the only one there is"
    )
    level: float = setting(0.95, "of the interval")

    def __post_init__(self) -> None:
        require_whole("b", self.b, 1)
        size_and_e_m = f"size={self.size} and E_M={self.E_M}"
        require((self.size is None) != (self.E_M is None), "give size or E_M", size_and_e_m)
        if self.E_M_se is not None:
            require(self.E_M is not None, "E_M_se goes with E_M", size_and_e_m)
            require(self.E_M_se >= 0, "E_M_se must be 0 or more", self.E_M_se)
        require(0 < self.level < 1, "level must lie between 0 and 1", self.level)


@outcome.command("predict_scaling")
@terminal.keeping_all()
def main(result: outcome.Outcome) -> int:
    """Load the law, predict, print; return the exit code."""
    (options,) = arguments.parse("predict_scaling", __doc__, PredictOptions)
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # MLflow takes seconds to load: only once the arguments are known to be good
    import mlflow
    import pandas as pd
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    from looped.records.journal import TrackingError
    from looped.tracking.experiments import store_name
    from looped.tracking.launcher import fail_launched, launched_run, note_on_launched

    model: dict[str, Any] = {"size": options.size} if options.size else {"E_M": options.E_M}
    if options.E_M_se is not None:
        model["E_M_se"] = options.E_M_se
    table = pd.DataFrame([{**model, "b": options.b}])
    try:
        uri = _uri_of(options.law)
        law = mlflow.pyfunc.load_model(uri)
        (row,) = law.predict(table, params={"level": options.level}).to_dict("records")
    except (ValueError, OSError, MlflowException, TrackingError) as error:
        if launched_run() and isinstance(error, ValueError):  # MLflow is there
            fail_launched(MlflowClient(), str(error))
        return arguments.complain("predict_scaling", error)
    metadata = law.metadata.metadata or {}
    account = metadata.get("account")
    result.tell(law=uri, account=account, store=store_name(), numbers=row)
    lines = [
        say(options, row, metadata.get("conversion", "")),
        *([f"fitted to {account}"] if account else []),
    ]
    print("\n".join(lines))
    if launched_run():
        note_on_launched(MlflowClient(), "predict_scaling", "\n\n".join([*lines, f"law: {uri}"]))
    return 0


def _uri_of(law: str | None) -> str:
    """Find the law that was chosen, or the only one there is, which is said."""
    from analysis.publish.law_registry import choose_law
    from looped.tracking.experiments import open_by_reference, store_name
    from looped.tracking.stores.store import reachable

    if law is not None and not law.startswith(REGISTERED):
        return str(expanded(law)) if law.startswith("~") else law  # a folder
    client = open_by_reference().client  # MLflow itself would try for minutes
    with reachable():
        uri = choose_law(client, law, store_name())
    if law is None:
        print(f"law: {uri}, the only one in {store_name()}")
    return uri


def say(options: PredictOptions, row: dict[str, Any], conversion_text: str = "") -> str:
    """Say a prediction in a line.

    Args:
        options: what was asked.
        row: the prediction.
        conversion_text: of the law of a table, how its losses became bits, as JSON.
    """
    from analysis.loss_tables.units import UNITS, Conversion

    conversion = Conversion(**json.loads(conversion_text or '{"unit": "nmse"}'))
    what = options.size or f"E_M = {options.E_M:g} bits"
    loss = conversion.values([row[name] for name in ("E_LM", "upper", "lower")])
    digits = 3 if UNITS[conversion.unit].in_bits is None else 5  # losses of tables differ little
    name = "NMSE" if conversion.unit in ("nmse", "expressivity") else conversion.unit
    line = (
        f"{what} at b = {options.b}: {row['E_LM']:.3f} bits "
        f"[{row['lower']:.3f}, {row['upper']:.3f}] ({options.level:.0%} interval for the mean "
        f"over seeds), {name} {loss[0]:.{digits}g} [{loss[1]:.{digits}g}, {loss[2]:.{digits}g}]"
    )
    if "run_lower" in row:  # a law registered before knew no such interval
        line += f"; one new training: [{row['run_lower']:.3f}, {row['run_upper']:.3f}] bits"
        if row["prompt_error"] > 0:
            line += (
                "; on these held-out prompts: against anything measured on others they add a "
                f"standard error of {row['prompt_error']:.3f} bits"
            )
    if not math.isclose(row["least"], row["most"], abs_tol=5e-4):
        line += f"; forms that the runs do not rule out: {row['least']:.3f} to {row['most']:.3f}"
    caveat = row.get("caveat") or ("beyond what was trained" if row["beyond"] else "")
    return f"{line}; {caveat}" if caveat else line


if __name__ == "__main__":
    sys.exit(terminal.run(main))
