"""The notebook of examples/ runs from its first cell to its last, and holds no output."""

import json

import matplotlib.pyplot as plt
import pytest
from page_blocks import ROOT

NOTEBOOK = ROOT / "examples" / "explore.ipynb"
FEWER = {
    "resamples=1000": "forms=['power', 'logarithmic/of_E_M'], resamples=100",
    "n_loops=30": "n_loops=6",
    "range(1, 31)": "range(1, 7)",
}


@pytest.fixture(scope="module")
def cells():
    return json.loads(NOTEBOOK.read_text("utf-8"))["cells"]


def test_it_runs_from_any_folder_inside_the_project(
    cells, store_with_names, as_users_run_it, monkeypatch, capsys
):
    monkeypatch.setattr(plt, "show", lambda: None)
    monkeypatch.chdir(NOTEBOOK.parent)
    with plt.rc_context({"backend": "agg"}):
        namespace: dict[str, object] = {}
        for cell in cells:
            if cell["cell_type"] == "code":
                text = "".join(cell["source"])
                for words, replacement in FEWER.items():
                    text = text.replace(words, replacement)
                exec(compile(text, cell["id"], "exec"), namespace)
        plt.close("all")
    assert len(namespace["error_by_loop"]) == 6
    assert "40 runs of linear n_dims=2" in capsys.readouterr().out


def test_it_holds_no_output(cells):
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
    assert len({cell["id"] for cell in cells}) == len(cells)
