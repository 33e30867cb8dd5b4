"""The law that MLflow serves, as code: MLflow runs this file, nothing is pickled.

It travels with a copy of this package inside each registered version.
"""

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from analysis.scaling.law_file import LAW, load_law


class ServedLaw(PythonModel):
    """Predicts the expressivity of looped models, trained or not."""

    def load_context(self, context: PythonModelContext) -> None:
        self.fit = load_law(Path(context.artifacts[LAW]).parent)

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Return E_LM in bits with its interval.

        Args:
            context: what MLflow passes; unused.
            model_input: a row per model: ``b``, and ``size`` (a name) or ``E_M`` (bits), beside
                which ``E_M_se`` may say its standard error.
            params: ``level`` of the interval, 0.95 if left out.

        Returns:
            Columns ``E_LM``; ``lower`` and ``upper``, its interval for the mean over seeds, over
            forms too; ``run_lower`` and ``run_upper``, that for one new training;
            ``prompt_error``, what the held-out prompts add against anything else; ``least``
            and ``most``, what the forms say that the runs do not rule out; ``beyond``, whether b
            is larger than any trained; ``caveat``, what the interval does not hold.
        """
        level = float((params or {}).get("level", 0.95))
        parts = []
        has_size = model_input.get("size", pd.Series(None, index=model_input.index)).notna()
        for name, rows in (("size", model_input[has_size]), ("E_M", model_input[~has_size])):
            if len(rows):
                table = rows.reindex(columns=[name, "b"])
                if name == "E_M" and "E_M_se" in rows:
                    table["E_M_se"] = rows["E_M_se"].fillna(0.0)
                parts.append(self.fit.tabulate(table, level))
        return pd.concat(parts).loc[model_input.index]


mlflow.models.set_model(ServedLaw())
