"""What one request may ask of a served model, and that an operator decides it."""

import numpy as np
import pytest
import torch
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import PythonModelContext

from looped import LoopedTransformer, Size, make_task
from looped.tracking.served_model import ServedModel

SIZE = Size(n_layer=1, n_head=1, n_embd=4, n_mlp=4, learning_rate=0.1)

CONTEXT = PythonModelContext({}, {})

pytestmark = pytest.mark.usefixtures("as_users_run_it")


@pytest.fixture
def served():
    model = ServedModel()
    model.models = {"last": LoopedTransformer(SIZE, n_dims=2, n_points=5).eval()}
    model.facts = {"b": 3}
    return model


def prompts(n_prompts):
    xs, ys = make_task("linear", n_dims=2).batch(7, 0, batch_size=n_prompts, n_points=5)
    return {"xs": xs.numpy(), "ys": ys.numpy()}


def refusal(served, inputs, **params):
    with pytest.raises(MlflowException) as caught:
        served.predict(CONTEXT, inputs, params)
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"  # a server answers 400
    assert "\n" not in caught.value.message
    return caught.value.message


@pytest.mark.parametrize(
    ("n_prompts", "n_loops", "rule"),
    [
        (1, 10**9, "n_loops must be at most 10,000 here (LOOPED_MAX_LOOPS raises it)"),
        (1, 10**18, "n_loops must be at most 10,000 here"),
        (20_001, 1, "the number of prompts must be at most 20,000 here (LOOPED_MAX_PROMPTS"),
        (200, 10_000, "n_loops times the number of prompts must be at most 1,000,000 here"),
        (1, 0, "n_loops must be at least 1, got 0"),
        (1, -5, "n_loops must be at least 1, got -5"),
    ],
)
def test_a_request_beyond_the_limits_is_refused_before_anything_runs(
    served, monkeypatch, n_prompts, n_loops, rule
):
    if n_loops > 0:
        monkeypatch.setattr(LoopedTransformer, "loop", lambda *_: pytest.fail("it ran"))
    assert rule in refusal(served, prompts(n_prompts), n_loops=n_loops)


def test_a_model_of_another_cannot_ask_for_more_by_its_own_b(served):
    served.facts = {"b": 10**9}
    assert "n_loops must be at most 10,000" in refusal(served, prompts(1))


def test_prompts_of_another_shape_are_the_requests_fault(served):
    inputs = {"xs": np.zeros((1, 4, 2), np.float32), "ys": np.zeros((1, 4), np.float32)}
    assert "xs must hold 5 points" in refusal(served, inputs)


def test_an_operator_raises_and_lowers_what_a_request_may_ask_for(served, monkeypatch):
    monkeypatch.setenv("LOOPED_MAX_LOOPS", "2")
    assert "at most 2 here" in refusal(served, prompts(1), n_loops=3)
    monkeypatch.setenv("LOOPED_MAX_LOOPS", "10001")
    assert served.predict(CONTEXT, prompts(1), {"n_loops": 10_001}).shape == (10_001, 1, 1)


def test_many_prompts_are_run_in_parts_and_answered_as_at_once(served):
    inputs = prompts(600)
    predictions = served.predict(CONTEXT, inputs, {"n_loops": 4})
    with torch.no_grad():
        at_once = served.models["last"](*(torch.tensor(inputs[name]) for name in ("xs", "ys")), 4)
    assert predictions.shape == (4, 600, 1)
    np.testing.assert_allclose(predictions, at_once.numpy(), rtol=1e-5, atol=1e-6)
