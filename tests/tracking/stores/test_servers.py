"""Servers that are not well: said within seconds in one line, and nothing is lost."""

import json
import os
import socketserver
import threading
import time
from contextlib import closing, contextmanager

import pytest

from looped import TrainConfig
from looped.records.folder import RunFolder
from looped.records.journal import TrackingError, last_record
from looped.tracking.opening import open_run
from looped.tracking.stores import store
from looped.training import resolve

CONFIG = resolve.resolve(
    TrainConfig(size="tiny", b=2, n_dims=2, n_examples=5, batch_size=4, steps=23, device="cpu")
)


@contextmanager
def server(answer):
    """A server that gives one answer to all; yields its URI."""
    release = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            answer(self.request, release)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listener.server_address[1]}"
        release.set()
        listener.shutdown()


def fails(request, _):
    request.recv(1000)
    request.sendall(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")


def speaks_no_http(request, _):
    request.recv(1000)
    request.sendall(b"220 mail.example.org ESMTP\r\n")


def hangs(request, release):
    request.recv(1000)
    release.wait(60)


def drips(request, release):
    request.recv(1000)
    request.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    while not release.wait(0.5):
        request.sendall(b"x")


def closes(request, _):
    request.recv(1000)


@pytest.fixture
def _no_patience_set(monkeypatch):
    for name in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"):
        monkeypatch.setenv(name, "1")  # so that what is set is undone
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("_no_patience_set")
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (fails, "500"),
        (speaks_no_http, "220 mail"),
        (hangs, "no answer within|timed out"),
        (drips, "no answer within|timed out"),
        (closes, "closed connection"),
    ],
)
def test_a_server_that_is_not_well_is_said_in_one_line(monkeypatch, answer, reason):
    monkeypatch.setattr(store, "ANSWER_SECONDS", 2.0)  # half of what two of them take in full
    with server(answer) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        with pytest.raises(TrackingError, match=reason) as caught:
            store.open_store()
    message = str(caught.value)
    assert message.startswith(f"MLflow must be reachable, got {uri}: ")
    assert "\n" not in message


@pytest.mark.usefixtures("_no_patience_set")
def test_mlflows_own_patience_is_set_where_the_user_has_not(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    with server(closes) as uri, pytest.raises(TrackingError):
        store.require_answer(uri)
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "2"


@pytest.mark.crash
@pytest.mark.usefixtures("_no_patience_set")
@pytest.mark.parametrize("answer", [fails, hangs])
def test_a_server_lost_at_the_very_end_does_not_hold_the_training_up(
    store, tmp_path, monkeypatch, answer
):
    with closing(RunFolder(tmp_path / "runs", CONFIG)) as folder:
        tracker = open_run(CONFIG, folder)
        folder.journal.append("start", step=0)
        tells = []
        monkeypatch.setattr(tracker, "_tell", lambda: tells.append(time.monotonic()))
        with server(answer) as uri:
            monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
            with pytest.raises(TrackingError, match="the same command tells it again") as caught:
                tracker.finish("FINISHED", "trained")
        assert "\n" not in str(caught.value)
        assert not tells  # MLflow, which tries for minutes, was not asked
        assert last_record(folder.journal_path, "end")["status"] == "FINISHED"
        assert store.get_run(tracker.run_id).info.status == "RUNNING"


def test_a_journal_that_cannot_say_the_end_makes_a_failed_run(store, tmp_path, monkeypatch):
    with closing(RunFolder(tmp_path / "runs", CONFIG)) as folder:
        tracker = open_run(CONFIG, folder)
        folder.journal.append("start", step=0)

        def full(*_, **__):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as disk:
            disk.setattr(folder.journal, "append", full)
            with pytest.raises(TrackingError, match=r"journal\.jsonl must be writable"):
                tracker.finish("FINISHED", "trained")
        run = store.get_run(tracker.run_id)
        assert run.info.status == "FAILED"
        assert "No space left on device" in run.data.tags["looped.reason"]


def test_artifacts_that_cannot_be_copied_make_a_failed_run_and_name_the_folder(
    store, tmp_path, monkeypatch
):
    with closing(RunFolder(tmp_path / "runs", CONFIG)) as folder:
        tracker = open_run(CONFIG, folder)
        folder.journal.append("start", step=0)

        def full(*_, **__):
            raise OSError(28, "No space left on device", "/small/artifacts")

        monkeypatch.setattr(tracker.client, "log_artifact", full)
        with pytest.raises(TrackingError, match="No space left on device: '/small/artifacts'"):
            tracker.finish("FINISHED", "trained")
        assert store.get_run(tracker.run_id).info.status == "FAILED"
        progress = json.loads((folder.path / "told.json").read_text())
        assert tracker.run_id in progress
