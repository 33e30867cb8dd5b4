"""The embedded database: made once and whole, by however many, killed or not."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from looped.records.journal import TrackingError
from looped.tracking.stores import address, embedded, store

ROOT = Path(__file__).parents[3]
OPEN = "from looped.tracking.stores.store import open_store; open_store()"
BY_MLFLOW = "from mlflow.tracking import MlflowClient; MlflowClient().search_experiments()"


@pytest.fixture
def database(tmp_path, monkeypatch):
    """Where a database is to be that is not there yet."""
    path = tmp_path / "mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    return path


def start(script):
    return subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, start_new_session=True,
    )  # fmt: skip


def is_whole(database):
    return embedded._look(database) == "whole"


def half_make(database, whole):
    """Leave a database as a process does that was killed between two migrations."""
    shutil.copy(whole, database)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
        connection.execute("DROP TABLE registered_model_aliases")
        connection.execute("DELETE FROM experiments")


@pytest.mark.crash
def test_processes_that_begin_together_on_no_store_all_work(database):
    processes = [start(OPEN) for _ in range(4)]
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, outputs
    assert is_whole(database)
    assert not list(database.parent.glob("*.tmp*"))


@pytest.mark.crash
def test_a_maker_that_is_killed_leaves_nothing_that_the_next_stumbles_on(database):
    maker = start(OPEN)
    while not list(database.parent.glob("mlflow.db.*.tmp")):
        assert maker.poll() is None, maker.communicate()[0]
        time.sleep(0.01)
    os.killpg(maker.pid, signal.SIGKILL)
    maker.communicate()
    assert not database.exists()
    embedded.prepare(database)
    assert is_whole(database)
    assert not list(database.parent.glob("*.tmp*"))


@pytest.mark.slow
@pytest.mark.parametrize("script", [OPEN, BY_MLFLOW])
def test_killed_at_any_moment_of_its_making_the_next_command_works(database, script):
    """``mlflow run`` makes the database in place, before our commands begin."""
    for tenths in range(4, 60, 6):
        for path in database.parent.glob("mlflow.db*"):
            path.unlink() if path.is_file() else shutil.rmtree(path)
        maker = start(script)
        time.sleep(tenths / 10)
        os.killpg(maker.pid, signal.SIGKILL)
        maker.communicate()
        process = start(OPEN)
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, (tenths, output)


def test_a_half_made_database_without_runs_is_put_aside_with_a_line(
    database, empty_database, caplog
):
    half_make(database, empty_database)
    store.open_store()
    assert is_whole(database)
    assert (database.parent / "mlflow.db.half-made.1").exists()
    assert caplog.text.count("was half made by a process that was killed") == 1


def test_a_database_that_mlflow_makes_right_now_is_waited_for(database, empty_database):
    half_make(database, empty_database)
    script = f"""
import sqlite3, time
connection = sqlite3.connect({str(database)!r})
connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
print("open", flush=True)
time.sleep(2)
sqlite3.connect({str(empty_database)!r}).backup(connection)
"""
    maker = start(script)
    assert maker.stdout.readline() == "open\n"
    inode = database.stat().st_ino
    embedded.prepare(database)
    assert database.stat().st_ino == inode
    assert is_whole(database)
    maker.communicate()


def test_a_database_with_runs_is_never_put_aside(database, empty_database):
    shutil.copy(empty_database, database)
    run_id = MlflowClient(f"sqlite:///{database}").create_run("0").info.run_id
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
    embedded.prepare(database)
    assert [path.name for path in database.parent.glob("mlflow.db*")] == ["mlflow.db"]
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT run_uuid FROM runs").fetchall() == [(run_id,)]


def test_what_is_no_database_or_anothers_is_left_as_it_is(database):
    database.write_text("a letter")
    with pytest.raises(TrackingError, match="must be a database that can be read") as caught:
        store.open_store()
    assert "\n" not in str(caught.value)
    assert database.read_text() == "a letter"
    database.unlink()
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("CREATE TABLE songs (title)")
    embedded.prepare(database)
    assert not (database.parent / "mlflow.db.half-made.1").exists()


def test_a_database_that_another_process_writes_to_is_waited_for(
    database, empty_database, monkeypatch, caplog
):
    monkeypatch.setattr(embedded, "SAID_AFTER_SECONDS", 0.0)
    shutil.copy(empty_database, database)
    writer = sqlite3.connect(database, check_same_thread=False, isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    later = threading.Timer(3, writer.rollback)
    later.start()
    assert store.open_store().experiment_id == "0"
    later.join()
    writer.close()
    assert caplog.text.count("another process writes to") == 1


def test_a_database_that_stays_locked_is_said_in_one_line(database, empty_database, monkeypatch):
    monkeypatch.setattr(embedded, "LOCKED_SECONDS", 0.5)
    shutil.copy(empty_database, database)
    with closing(sqlite3.connect(database, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(TrackingError, match="another process has written to it") as caught:
            store.open_store()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("sqlite:///mlflow.db", "mlflow.db"),
        ("sqlite:////tmp/a.db?timeout=3", "/tmp/a.db"),
        ("sqlite+pysqlite:////tmp/a.db", "/tmp/a.db"),
        ("sqlite:///:memory:", None),
        ("sqlite://", None),
        ("http://127.0.0.1:5000", None),
        ("postgresql://x@y:1/z", None),
    ],
)
def test_the_file_of_an_embedded_database_follows_from_its_uri(uri, path):
    assert embedded.database_of(uri) == (Path(path) if path else None)


@pytest.mark.skipif(os.getuid() != 0, reason="only root may mount")
def test_a_full_disk_is_said_in_one_line_and_leaves_no_half_database(tmp_path):
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        database = place / "mlflow.db"
        with pytest.raises(
            embedded.StoreError, match=r"mlflow\.db must be made: .* full"
        ) as caught:
            embedded.prepare(database)
        assert "\n" not in str(caught.value)
        assert not database.exists()
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        with pytest.raises(embedded.StoreError, match=r"mlflow\.db must be made: .*Read-only"):
            embedded.prepare(database)
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_make_prepares_the_database_that_the_ui_opens(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["store", "sqlite:///mlflow.db"])
    assert store.main() == 0
    assert is_whole(tmp_path / "mlflow.db")
    makefile = (ROOT / "Makefile").read_text()
    before_ui, _, after_ui = makefile.partition("\tmlflow ui ")
    assert before_ui.endswith("looped.tracking.stores.store sqlite:///mlflow.db\n")
    assert after_ui.startswith("--backend-store-uri sqlite:///mlflow.db")
    for line in makefile.splitlines():
        if line.startswith(("train:", "grid:", "study:")):
            assert line.split()[1] == "store"


def test_a_store_in_an_odd_place_keeps_everything_there(empty_database, tmp_path, monkeypatch):
    folder = tmp_path / "a b%20é"
    folder.mkdir()
    database = folder / "mlflow.db"
    shutil.copy(empty_database, database)
    root = str(folder / "mlruns")  # as MLflow writes it when it makes a database there
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE experiments SET artifact_location = ?", (f"{root}/0",))
    uri = f"{address.address_of(database)}?timeout=60"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    client = MlflowClient(uri)
    launched = client.create_run("0").info.run_id  # by ``mlflow run``, before any of our commands
    opened = store.open_store()
    address.remove_stray_folders(uri)  # which every command does when it ends
    later = opened.client.create_run("0").info.run_id
    for run_id in (launched, later):
        client.log_text(run_id, "text", "note.txt")
        path = folder / "mlruns" / "0" / run_id / "artifacts" / "note.txt"
        assert path.read_text() == "text"
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_artifact_roots_in_which_things_lie_already_stay(empty_database, tmp_path):
    database = tmp_path / "mlflow.db"
    shutil.copy(empty_database, database)
    (tmp_path / "a b").mkdir()
    for root in (f"{tmp_path}/a%20b", f"{tmp_path}/100%", "s3://bucket/a%20b"):
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute("UPDATE experiments SET artifact_location = ?", (root,))
        embedded.spell_artifact_roots(database)
        with closing(sqlite3.connect(database)) as connection:
            query = "SELECT artifact_location FROM experiments"
            assert connection.execute(query).fetchone() == (root,)
