"""The joint law of the 36 runs of ``results/h100``, as docs/the-study.md states it."""

import re
from pathlib import Path

import pandas as pd
import pytest

from analysis.answers.joint_law import fit_joint
from analysis.runs.expressivity import expressivity
from analysis.runs.selection import n_once
from looped.config import TrainConfig

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"\| (\w+) \| (\d+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|")


@pytest.fixture(scope="module")
def fit():
    rows = []
    for size, b, *errors in ROW.findall((ROOT / "results/h100/README.md").read_text("utf-8")):
        config = TrainConfig(size=size, b=int(b))
        once = n_once(config)
        n_rec = config.model_config.n_params(position_embedding=False) - once
        rows += [
            {"size": size, "b": int(b), "seed": seed, "n_once": once, "n_rec": n_rec,
             "expressivity": float(expressivity(float(nmse)))}
            for seed, nmse in enumerate(errors)
        ]  # fmt: skip
    return fit_joint(pd.DataFrame(rows))


def test_it_does_not_fit(fit):
    assert fit.n_runs == 36
    assert fit.lack_of_fit_alike == pytest.approx(0.027, abs=5e-4)
    assert fit.lack_of_fit == pytest.approx(0.047, abs=2e-3)
    assert fit.fits is False


def test_the_page_states_its_numbers(fit):
    text = " ".join((ROOT / "docs/the-study.md").read_text("utf-8").split())
    row = fit.parameters.set_index("name").loc["phi"]
    phi = fit.phi_by_sizes.set_index("left_out")["phi"]
    for statement in (
        f"chance {fit.lack_of_fit:.3f} with each size's own scatter, "
        f"{fit.lack_of_fit_alike:.3f} with one for all",
        f"next to nothing of phi: {row['value']:.2f} [{row['lower']:.2f}, {row['upper']:.2f}]",
        f"Without tiny it is {phi['tiny']:.2f}, without small {phi['small']:.2f}, "
        f"without medium {phi['medium']:.2f}",
        f"would be [{row['lower_runs']:.2f}, {row['upper_runs']:.2f}] if every size obeyed the law",
    ):
        assert statement in text
