"""The model that MLflow serves, as code: MLflow runs this file, nothing is pickled.

It travels with a copy of this package inside each registered model. A request comes from
anybody: what it may ask for is bounded by ``looped.limits``, in the environment of the server.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import numpy.typing as npt
import torch
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from looped import limits
from looped.records.model_files import DESCRIPTION, TAIL_WEIGHTS, load_model
from looped.rules import require_one_of

PROMPTS_AT_ONCE = 256
"""Whatever the number asked for, what the model needs beside its answer stays small."""

if TYPE_CHECKING:
    Prompts = Mapping[str, npt.NDArray[np.float32]]
else:
    Prompts = np.ndarray  # the hint for arrays that MLflow takes without a warning


class RefusedRequestError(MlflowException, ValueError):
    """A request asks for what the model, or who runs it, does not allow; a server answers 400."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, error_code=INVALID_PARAMETER_VALUE)


class ServedModel(PythonModel):
    """Predicts every query's y after each loop, for as many loops as are asked for."""

    def load_context(self, context: PythonModelContext) -> None:
        folder = Path(context.artifacts[DESCRIPTION]).parent
        last_model, self.facts = load_model(folder)
        self.models = {"last": last_model}
        if TAIL_WEIGHTS in context.artifacts:
            self.models["tail"], _ = load_model(folder, "tail")

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
                ``weights``, where the model has both: ``last`` or ``tail``; ``last`` if left out.

        Returns:
            Predictions of shape (loop, batch, query).

        Raises:
            RefusedRequestError: the request asks for more than the limits allow, or for what
                the model cannot do.
        """
        try:
            xs, ys = (torch.tensor(model_input[name]) for name in ("xs", "ys"))
            n_loops = int((params or {}).get("n_loops", self.facts["b"]))
            weights = str((params or {}).get("weights", "last"))
            require_one_of("weights", weights, tuple(self.models))
            model = self.models[weights]
            limits.LOOPS.check("n_loops", n_loops)
            limits.PROMPTS.check("the number of prompts", len(xs))
            limits.WORK.check("n_loops times the number of prompts", n_loops * len(xs))
            starts = range(0, max(1, len(xs)), PROMPTS_AT_ONCE)
            parts = [slice(start, start + PROMPTS_AT_ONCE) for start in starts]
            predictions = torch.cat([model(xs[i], ys[i], n_loops) for i in parts], dim=1)
        except (ValueError, KeyError, TypeError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise RefusedRequestError(reason) from error
        return np.asarray(predictions.numpy())


mlflow.models.set_model(ServedModel())
