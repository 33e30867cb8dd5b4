"""What was registered by the code before the rooms still loads and predicts the same."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import analysis

REPOSITORY = Path(analysis.__file__).parents[1]
FIXTURE = REPOSITORY / "tests" / "fixtures" / "registered_before_rooms.tar.xz"
LAW = """
import sys
import mlflow, pandas as pd
law = mlflow.pyfunc.load_model("law")
table = pd.DataFrame({"size": ["tiny", "small"], "b": [2, 4]})
law.predict(table, params={"level": 0.95}).to_csv("now.csv", index=False)
print(sys.modules["analysis"].__file__)
"""
MODEL = """
import sys
import mlflow, numpy as np
model = mlflow.pyfunc.load_model("model")
rows = np.load("prompts.npz")
predictions = model.predict({"xs": rows["xs"], "ys": rows["ys"]}, params={"n_loops": 7})
np.save("now.npy", predictions)
print(sys.modules["looped"].__file__)
"""


@pytest.fixture
def old_folder(tmp_path):
    """A folder with a model and a law, as MLflow kept them, and what they predicted then."""
    with tarfile.open(FIXTURE) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


def run(folder, script, **environment):
    """Run a script in a process of its own; return where it took our packages from."""
    process = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return [Path(line) for line in process.stdout.split() if line.endswith("/__init__.py")]


def assert_same_law(folder):
    now, then = (pd.read_csv(folder / name) for name in ("now.csv", "law_predictions.csv"))
    pd.testing.assert_frame_equal(now[list(then)], then, rtol=1e-6)  # more may stand behind


def assert_same_model(folder):
    assert np.array_equal(np.load(folder / "now.npy"), np.load(folder / "predictions.npy"))


def write_prompts(folder):
    from looped import make_task

    xs, ys = make_task("linear", 5).batch(7, 0, 2, 64)
    np.savez(folder / "prompts.npz", xs=xs.numpy(), ys=ys.numpy())


def test_an_old_law_is_served_by_the_code_that_it_brings(old_folder):
    (package,) = run(old_folder, LAW)
    assert package.is_relative_to(old_folder)
    assert_same_law(old_folder)


def test_an_old_model_is_served_by_the_code_that_it_brings(old_folder):
    write_prompts(old_folder)
    (package,) = run(old_folder, MODEL)
    assert package.is_relative_to(old_folder)
    assert_same_model(old_folder)


def test_an_old_law_and_an_old_model_are_served_where_today_s_code_is_imported(old_folder):
    write_prompts(old_folder)
    imports = "from analysis.scaling import fit_scaling\nfrom looped import LoopedTransformer\n"
    packages = run(old_folder, f"{imports}{LAW}{MODEL}", PYTHONPATH=str(REPOSITORY))
    assert [package.parent for package in packages] == [
        REPOSITORY / name for name in ("analysis", "looped")
    ]
    assert_same_law(old_folder)
    assert_same_model(old_folder)


def test_today_s_files_of_an_old_model_load(old_folder):
    from looped.records.model_files import load_model

    model, facts = load_model(old_folder / "model" / "artifacts")
    assert (facts["name"], model.config.n_dims) == ("tiny-b5-s42", 5)
