"""The model that MLflow serves, as code: MLflow runs this file, nothing is pickled.

It travels with a copy of this package inside each registered model.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import numpy.typing as npt
import torch
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from looped.records.model_files import DESCRIPTION, load_model

if TYPE_CHECKING:
    Prompts = Mapping[str, npt.NDArray[np.float32]]
else:
    Prompts = np.ndarray  # the hint for arrays that MLflow takes without a warning


class ServedModel(PythonModel):
    """Predicts every query's y after each loop, for as many loops as are asked for."""

    def load_context(self, context: PythonModelContext) -> None:
        self.model, self.facts = load_model(Path(context.artifacts[DESCRIPTION]).parent)

    @torch.no_grad()
    def predict(
        self,
        context: PythonModelContext,
        model_input: Prompts,
        params: dict[str, Any] | None = None,
    ) -> npt.NDArray[np.float32]:
        """Return the model's own predictions.

        Args:
            context: what MLflow passes; unused.
            model_input: the prompts, ``xs`` of shape (batch, point, dim) and ``ys`` of shape
                (batch, point), both float32; the last y is never read.
            params: ``n_loops``, how often to loop; as often as in training if left out.

        Returns:
            Predictions of shape (loop, batch, query).
        """
        xs, ys = (torch.tensor(model_input[name]) for name in ("xs", "ys"))
        n_loops = (params or {}).get("n_loops", self.facts["b"])
        predictions = self.model(xs, ys, int(n_loops))
        return np.asarray(predictions.numpy())


mlflow.models.set_model(ServedModel())
