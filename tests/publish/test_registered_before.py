"""A law that was registered by the code before the rooms still loads and predicts the same."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pandas as pd
import pytest

import analysis

FIXTURE = Path(__file__).parents[1] / "fixtures" / "registered_before_rooms.tar.xz"
SCRIPT = """
import sys
import mlflow, pandas as pd
law = mlflow.pyfunc.load_model(sys.argv[1])
table = pd.DataFrame({"size": ["tiny", "small"], "b": [2, 4]})
law.predict(table, params={"level": 0.95}).to_csv("predictions.csv", index=False)
print(sys.modules["analysis"].__file__)
"""
REPOSITORY = Path(analysis.__file__).parents[1]


@pytest.fixture
def old_folder(tmp_path):
    """A folder with such a law, as MLflow kept it, and what it predicted then."""
    with tarfile.open(FIXTURE) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


def predict(folder, script, **environment):
    """Load the law in a process of its own; return where it took ``analysis`` from."""
    process = subprocess.run(
        [sys.executable, "-c", script, "law"],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    predictions = pd.read_csv(folder / "predictions.csv")
    predictions_then = pd.read_csv(folder / "law_predictions.csv")
    pd.testing.assert_frame_equal(predictions, predictions_then, rtol=1e-6)
    return Path(process.stdout.split()[-1])


def test_an_old_law_is_served_by_the_code_that_it_brings(old_folder):
    assert predict(old_folder, SCRIPT).is_relative_to(old_folder)


def test_an_old_law_is_served_where_today_s_code_is_imported(old_folder):
    script = f"from analysis.scaling import fit_scaling\n{SCRIPT}"
    package = predict(old_folder, script, PYTHONPATH=str(REPOSITORY))
    assert package.is_relative_to(REPOSITORY)
