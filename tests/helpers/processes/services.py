"""Real servers for tests: PostgreSQL, an MLflow server, one that answers everything alike."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

POSTGRES_HOMES = [
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
]


def find_postgres():
    """The folder of PostgreSQL's programs, or None."""
    on_path = shutil.which("initdb")
    homes = [home for glob in POSTGRES_HOMES for home in sorted(Path("/").glob(glob[1:]))]
    homes += [Path(on_path).parent] if on_path else []
    return next((home for home in homes if (home / "initdb").exists()), None)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def postgres():
    """A PostgreSQL of its own; yields the URI of its database."""
    home, port = find_postgres(), free_port()
    folder = Path(tempfile.mkdtemp(prefix="looped-postgres-"))
    as_user = {}
    if os.getuid() == 0:  # it refuses to run as root
        shutil.chown(folder, "postgres", "postgres")
        as_user = {"user": "postgres", "group": "postgres", "extra_groups": []}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT, "cwd": folder}
    make = [home / "initdb", "-D", folder / "data", "-U", "looped", "-A", "trust"]
    subprocess.run(make, check=True, **quiet, **as_user)
    serve = [home / "postgres", "-D", folder / "data", "-p", str(port), "-k", folder]
    server = subprocess.Popen([*serve, "-c", "listen_addresses=127.0.0.1"], **quiet, **as_user)
    try:
        wait_until(lambda: socket.create_connection(("127.0.0.1", port), 1).close(), server)
        yield f"postgresql+psycopg2://looped@127.0.0.1:{port}/postgres"
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def mlflow_server(store, folder):
    """An MLflow server; yields its URI."""
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store]
    command += ["--artifacts-destination", folder / "artifacts", "--port", str(port)]
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(
            [*command, "--workers", "1"], stdout=log, stderr=log, cwd=folder, start_new_session=True
        )
    try:
        wait_until(lambda: urllib.request.urlopen(f"{uri}/health", timeout=5).close(), server)
        yield uri
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, 15)
        server.wait()


def wait_until(succeeds, server, seconds=90):
    deadline = time.monotonic() + seconds
    while True:
        try:
            return succeeds()
        except OSError:
            assert server.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.2)


@contextmanager
def answering_alike(port, status=200, body=b"{}"):
    """A server that answers everything alike; yields what it was asked: path, length, who asks."""
    questions = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            length = int(self.headers.get("Content-Length", 0))
            self.rfile.read(length)
            questions.append((self.path, length, self.headers.get("Authorization", "")[:5]))
            self.send_response(200 if self.path == "/health" else status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST  # noqa: N815

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield questions
        server.shutdown()
