"""Servers that MLflow reaches by its own settings: the probe reaches them too."""

import base64
import datetime
import ipaddress
import ssl
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import mlflow
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from looped.records.journal import TrackingError
from looped.tracking.stores import store

SETTINGS = (
    *("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT", "MLFLOW_TRACKING_TOKEN"),
    *("MLFLOW_TRACKING_INSECURE_TLS", "MLFLOW_TRACKING_SERVER_CERT_PATH", "REQUESTS_CA_BUNDLE"),
    *("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "HTTP_PROXY", "http_proxy"),
    *("NO_PROXY", "no_proxy"),
)


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch):
    for name in SETTINGS:
        monkeypatch.setenv(name, "1")  # so that what is set is undone
        monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A self-signed certificate of 127.0.0.1, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    host = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    builder = builder.public_key(key.public_key()).serial_number(1).add_extension(host, False)
    builder = builder.not_valid_before(now - datetime.timedelta(days=1))
    signed = builder.not_valid_after(now + datetime.timedelta(days=1)).sign(key, hashes.SHA256())
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    kept_key = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(signed.public_bytes(serialization.Encoding.PEM) + kept_key)
    return path


@contextmanager
def server(tls=None):
    """A server that is well; yields its host and port and the requests that came."""
    requests = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append((self.path, self.headers.get("Authorization")))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls)
            listener.socket = context.wrap_socket(listener.socket, server_side=True)
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{listener.server_address[1]}", requests
        listener.shutdown()


def test_a_certificate_that_nobody_vouches_for_is_said(certificate):
    refused = pytest.raises(TrackingError, match="CERTIFICATE_VERIFY_FAILED")
    with server(certificate) as (place, requests), refused as caught:
        store.require_answer(f"https://me:s3cret@{place}")
    assert str(caught.value).startswith(f"MLflow must be reachable, got https://me:...@{place}: ")
    assert not requests


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MLFLOW_TRACKING_SERVER_CERT_PATH", None),
        ("REQUESTS_CA_BUNDLE", None),
        ("MLFLOW_TRACKING_INSECURE_TLS", "true"),
    ],
)
def test_certificates_are_checked_as_mlflow_is_told_to(certificate, monkeypatch, name, value):
    monkeypatch.setenv(name, value or str(certificate))
    with server(certificate) as (place, requests):
        store.require_answer(f"https://{place}")
    assert requests == [("/health", None)]


def test_a_user_is_named_in_the_address_or_by_mlflows_settings(monkeypatch):
    def basic(text):
        return f"Basic {base64.b64encode(text.encode()).decode()}"

    with server() as (place, requests):
        store.require_answer(f"http://me:s3%40cret@{place}")
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "you")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "kept")
        store.require_answer(f"http://{place}")
        monkeypatch.delenv("MLFLOW_TRACKING_USERNAME")
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "token")
        store.require_answer(f"http://{place}/mlflow/")
    assert requests == [
        ("/health", basic("me:s3@cret")),
        ("/health", basic("you:kept")),
        ("/mlflow/health", "Bearer token"),
    ]


def test_a_proxy_is_asked(monkeypatch):
    with server() as (place, requests):
        monkeypatch.setenv("HTTP_PROXY", f"http://{place}")
        store.require_answer("http://mlflow.invalid:5000")
    assert requests == [("http://mlflow.invalid:5000/health", None)]


def test_the_driver_of_a_database_that_is_not_installed_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "MySQLdb", None)
    with server() as (place, _):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"mysql://me:s3cret@{place}/runs")
        with pytest.raises(TrackingError, match="driver must be installed, got") as caught:
            store.open_store()
    assert str(caught.value).startswith(f"MLflow must be reachable, got mysql://me:...@{place}")


def test_a_folder_of_files_is_refused_with_the_command_that_makes_a_database_of_it(
    tmp_path, monkeypatch
):
    folder = tmp_path / "a b" / "mlruns"
    for address in (str(folder), folder.as_uri()):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with pytest.raises(TrackingError, match="mlflow migrate-filestore --source '") as caught:
            store.open_store()
        assert f"got the folder of files '{folder}'" in str(caught.value)
    assert not Path(folder).exists()


def test_where_to_look_shows_no_password(monkeypatch):
    from looped.tracking.ui import links

    for address, shown_part in [
        ("http://me:s3cret@host:5000/", "http://host:5000/#/experiments/1/runs/abc"),
        ("postgresql://me:s3cret@host/db", "--backend-store-uri postgresql://me:...@host/db`"),
        ("sqlite:////a%20b/mlflow.db?timeout=60", "'sqlite:////a%20b/mlflow.db?timeout=60'`"),
    ]:
        monkeypatch.setattr(mlflow, "get_tracking_uri", lambda address=address: address)
        text = links.written({"this run": links.to_run("1", "abc")})
        assert shown_part in text
        assert "s3cret" not in text
