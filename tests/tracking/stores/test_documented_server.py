"""The server of docs/server.md: its commands as they stand, with a test's ports and folders."""

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pytest
import requests
from page_blocks import ROOT, blocks_of
from services import answering_alike, find_postgres, free_port, postgres, wait_until

from looped.records.journal import TrackingError
from looped.tracking.stores import store

BLOCKS = [block.text for block in blocks_of(ROOT / "docs" / "server.md")]
INSTALL, DATABASES, FOLDERS, START, PROXY, USERS, USE = BLOCKS
EXAMPLES = ROOT / "examples" / "server"

needs_nginx = pytest.mark.skipif(
    shutil.which("nginx") is None or shutil.which("openssl") is None,
    reason="nginx or openssl is not installed (apt-get install nginx openssl)",
)


class Place:
    """Where a test has what the page has in /srv and /mnt, and at which ports."""

    def __init__(self, folder):
        self.served, self.files = folder / "srv", folder / "mnt"
        self.port, self.proxy_port = free_port(), free_port()
        self.uri = f"https://localhost:{self.proxy_port}/mlflow"
        self.certificate = self.served / "cert.pem"
        self.database_port = 5432

    @property
    def psql(self):
        return f"psql -h 127.0.0.1 -p {self.database_port} -U looped -d postgres"

    def put(self, text):
        """Write a text of the page for this place."""
        changes = {
            "/srv/mlflow": self.served, "/mnt/mlflow": self.files,
            "8443": self.proxy_port, "127.0.0.1:5000": f"127.0.0.1:{self.port}",
            "--port 5000": f"--port {self.port}", "5432": self.database_port,
            "sudo -u postgres psql": self.psql,
            ".venv/bin/mlflow": "python -m mlflow", "mlflow run": "python -m mlflow run",
        }  # fmt: skip
        for before, after in changes.items():
            text = text.replace(before, str(after))
        return text

    def command(self, text):
        return ["bash", "-euc", self.put(text)]

    def run(self, text, folder=ROOT, seconds=600):
        process = subprocess.run(
            self.command(text), cwd=folder, env=variables(), capture_output=True, text=True,
            timeout=seconds, check=False,
        )  # fmt: skip
        assert process.returncode == 0, process.stdout[-3000:] + process.stderr[-3000:]
        return process.stdout

    def make_folders(self):
        self.run(FOLDERS)
        for path in (self.served / "nginx.conf", self.served / "auth.ini"):
            path.write_text(self.put(path.read_text()))

    @contextlib.contextmanager
    def proxy(self):
        self.run(PROXY)
        try:
            yield
        finally:
            os.kill(int((self.served / "nginx.pid").read_text()), signal.SIGTERM)


def variables():
    """This process's variables without MLflow's, and its Python first on the path."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}{os.pathsep}/usr/sbin"
    return environment | {"PATH": path, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def place(tmp_path):
    tmp_path.chmod(0o755)
    return Place(tmp_path)


@pytest.fixture
def _as_ada(place, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(place.certificate))
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "a-password-for-ada")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place.uri)
    for name in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT",
                 "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"):  # fmt: skip
        monkeypatch.setenv(name, "1")  # so that what is set is undone


@needs_nginx
@pytest.mark.usefixtures("_as_ada")
def test_the_proxy_takes_its_path_away_and_lets_large_files_pass(place, monkeypatch):
    place.make_folders()
    with answering_alike(place.port) as questions, place.proxy():
        wait_until(lambda: store.require_answer(place.uri), _Running())
        answer = requests.post(
            f"{place.uri}/api", b"x" * 5_000_000, verify=place.certificate, timeout=20
        )
        assert answer.status_code == 200
        with pytest.raises(TrackingError, match=r"HTTP 404 of .*runs/create .*path that a proxy"):
            create_run(place.uri.removesuffix("/mlflow"), monkeypatch)
    assert questions == [("/health", 0, "Basic"), ("/api", 5_000_000, "")]


class _Running:
    def poll(self):
        return None


def create_run(uri, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with store.reachable():
        mlflow.MlflowClient().create_run("0")


@pytest.mark.usefixtures("_as_ada")
@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, b"You are not authenticated", "server must know who asks: user ada"),
        (403, b"Permission denied", r"\(Permission denied\); user ada may not do that there"),
        (413, b"<html><head><title>413 Too Large</title></head></html>", r"\(Too Large\); the pro"),
    ],
)
def test_a_refusal_is_one_line_that_says_what_to_do(monkeypatch, status, body, words):
    monkeypatch.delenv("MLFLOW_TRACKING_SERVER_CERT_PATH")
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    with answering_alike(port, status, body), pytest.raises(TrackingError, match=words) as caught:
        create_run(uri, monkeypatch)
    message = str(caught.value)
    assert message.startswith(f"MLflow must allow what is asked, got {uri}: HTTP {status} of /api/")
    assert "\n" not in message and "<" not in message


@pytest.fixture
def served(place):
    """The whole server of the page."""
    for module in ("psycopg2", "flask_wtf"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed (make ray)")
    if find_postgres() is None or shutil.which("psql") is None:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    with postgres() as database:
        place.database_port = int(database.rpartition(":")[2].partition("/")[0])
        place.run(DATABASES)
        place.make_folders()
        with (place.served / "server.log").open("w") as log:
            server = subprocess.Popen(
                place.command(START), cwd=place.served, env=variables(), stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        try:
            with place.proxy():
                health = f"{place.uri}/health"
                wait_until(
                    lambda: requests.get(
                        health, verify=place.certificate, timeout=5
                    ).raise_for_status(),
                    server,
                    seconds=300,
                )
                yield place
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)
            server.wait()


@pytest.mark.slow
@needs_nginx
@pytest.mark.usefixtures("_as_ada")
def test_the_commands_of_the_page(served, tmp_path, monkeypatch):
    served.run(USERS)
    runs_dir = tmp_path / "runs"
    use = USE.replace(" --experiment-name", f" -P runs_dir={runs_dir} --experiment-name")
    use = use.replace("out=runs/ada", f"out={tmp_path / 'page'}")
    text = served.run(use, seconds=1500)
    assert "6 trainings: 6 finished now" in text
    assert f"{served.uri}/#/experiments/" in text and "a-password" not in text
    assert (tmp_path / "page" / "report.html").exists()
    assert list(served.files.rglob("weights.safetensors"))
    model = mlflow.pyfunc.load_model("models:/looped-linear-tiny-d2-n7@best")
    xs = np.zeros((2, 8, 2), np.float32)
    assert model.predict({"xs": xs, "ys": xs[..., 0]}, params={"n_loops": 4}).shape == (4, 2, 1)

    client = mlflow.MlflowClient()
    (run, *_) = client.search_runs(["1"], "tags.`looped.kind` = 'training'")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "bob")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "a-password-for-bob")
    assert client.get_run(run.info.run_id).info.run_name == run.info.run_name
    refused = pytest.raises(TrackingError, match=r"HTTP 403 .*user bob may not do that there")
    with refused, store.reachable():
        client.set_tag(run.info.run_id, "mine", "yes")
