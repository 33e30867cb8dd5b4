"""The links that commands print, opened in a real browser on a real server.

The views are in a format of MLflow's own: only its page can tell whether they are read. Pictures
go to the folder that LOOPED_SCREENSHOTS names, to be looked at.
"""

import os
from contextlib import closing
from pathlib import Path

import browser
import pytest
from mlflow.entities import Metric as RunMetric
from mlflow.entities import Param
from services import mlflow_server

from entrypoints import fit_scaling, report
from looped.grid.records.folder import GridFolder
from looped.grid.records.parent_run import open_parent, show_parent
from looped.tracking.logged import config_of, curve_of
from looped.tracking.runs import end_run, list_trainings
from looped.tracking.stores.store import Store
from looped.tracking.ui import introduction, links
from looped.tracking.ui.cells import summarise_cells

EXPECTED = {
    "table": ["Trainings by error", "Group: size: medium, b: 15", "held_out/nmse", "Sort: held_o"],
    "comparison": ["Cells over loops", "Error over loops", "cell/nmse vs", "medium-b15"],
    "grid": ["grid of 36 trainings", "grid/done", "grid/best_nmse"],
    "fit": ["fit_scaling", "scaling/law.png"],
    "report": ["report/report.html", "claims/supported", "report.py"],
    "registry": ["looped-scaling-law", "Version 1", "champion", "E_M"],
}
"""What each page must say; those that open on nothing, or on another page, say none of it."""


def tell_as_trainings_do(place):
    """Log what a planted run lacks of what the tracker tells."""
    for run in list_trainings(*place):
        config, run_id = config_of(run.data.params), run.info.run_id
        nmse = curve_of(place.client, run_id, "loops/nmse")[config.b]
        params = introduction.params_to_compare(config).items()
        metrics = [*introduction.metrics_to_compare(config), RunMetric("held_out/nmse", nmse, 1, 0)]
        place.client.log_batch(run_id, metrics, [Param(name, str(value)) for name, value in params])


def begin_grid(place, root):
    table = "training,state,nmse\n" + "tiny-b5-s42,done,0.01\n" * 36
    with closing(GridFolder(root, "0123456789ab")) as folder:
        folder.begin("grid of 36 trainings", {"bs": "1,5,10,15"}, {})
        run_id = open_parent(place, folder)
    show_parent(place.client, run_id, "**36 trainings: 36 done before.**", table, 12.0)
    end_run(place.client, run_id, "FINISHED", "all are done")
    return run_id


def links_in(lines):
    """Find the links that a command printed, by what they lead to."""
    pairs = (line.strip().split(": ", 1) for line in lines if line.startswith("  "))
    return {name: address for name, *rest in pairs for address in rest if "://" in address}


@pytest.mark.slow
@pytest.mark.skipif(not browser.BINARY, reason="no chromium or google-chrome is installed")
def test_each_link_opens_on_what_it_says(planted_store, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = Store(planted_store, os.environ["MLFLOW_EXPERIMENT_ID"])
    tell_as_trainings_do(place)
    assert summarise_cells(place) == 12
    links_of_grid = links.of_grid(place, begin_grid(place, tmp_path))
    lines = [
        line
        for command in (fit_scaling, report)
        for line in call(command, "--resamples", "100", "--runs_dir", str(tmp_path))[1]
    ]
    addresses = links_of_grid | links_in(lines)
    page_links = {
        "table": addresses[links.TRAININGS.title],
        "comparison": addresses[links.CELLS.title],
        "grid": addresses["the grid"],
        "fit": addresses["its figure"],
        "report": addresses["the report"],
        "registry": addresses["in the registry"],
    }
    assert Path(addresses["the page"].removeprefix("file://")).is_file()
    pictures = Path(os.environ.get("LOOPED_SCREENSHOTS", tmp_path))
    with mlflow_server(os.environ["MLFLOW_TRACKING_URI"], tmp_path) as uri:
        for name, address in page_links.items():
            picture = pictures / f"{name}.png"
            for seconds in (20, 60):  # a busy machine draws late
                text = browser.visit(
                    address.replace(links.UI, uri), tmp_path, picture, seconds=seconds
                )
                missing = [words for words in EXPECTED[name] if words not in text]
                if not missing:
                    break
            assert not missing, (name, address)
            assert picture.stat().st_size > 20_000  # a blank page has fewer bytes
