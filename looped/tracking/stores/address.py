"""What the address of a store says: the file of an embedded database, or who is to be asked.

SQLAlchemy decodes the path of an address and MLflow makes the folders of the path as it is
written: here it is decoded and encoded, once for all.
"""

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

from looped.rules import PASSWORD

_MARKS = "#/?@[]"
"""What divides an address, and so must be encoded where it is part of a password."""

_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


class Peer(NamedTuple):
    """Where a store of several machines listens."""

    host: str
    port: int


def database_of(uri: str) -> Path | None:
    """Return the file of an embedded database; None for other stores, or one in memory.

    Example:
        >>> from looped.tracking.stores.address import database_of
        >>> str(database_of("sqlite:////home/you/a%20b/mlflow.db?timeout=60"))
        '/home/you/a b/mlflow.db'
    """
    scheme, separator, rest = uri.partition(":///")
    path = unquote(rest.partition("?")[0])
    is_file = scheme.partition("+")[0] == "sqlite" and separator and path not in ("", ":memory:")
    return Path(path) if is_file else None


def address_of(database: Path) -> str:
    """Write the address of an embedded database, wherever it lies.

    Example:
        >>> from pathlib import Path
        >>> from looped.tracking.stores.address import address_of
        >>> address_of(Path("/home/you/a b/100%/mlflow.db"))
        'sqlite:////home/you/a%20b/100%25/mlflow.db'
    """
    return f"sqlite:///{quote(str(database.absolute()))}"


def remove_stray_folders(uri: str) -> None:
    """Remove the empty folders that MLflow made because it took an encoded path as it is written.

    ``mlflow run`` in ``a b`` makes ``a%20b`` beside it, in which nothing ever lies.
    """
    if database_of(uri) is None:
        return
    encoded_path = Path(uri.partition(":///")[2].partition("?")[0])
    for folder in encoded_path.parents:
        if unquote(str(folder)) == str(folder):
            return  # this one, and all above it, are as they are written
        with suppress(OSError):  # it holds something, or was never made
            folder.rmdir()


def peer_of(uri: str) -> Peer | None:
    """Return where the server of an address listens; None where the address does not say.

    Raises:
        ValueError: the address cannot be read, as one with a password that is not encoded.
    """
    password = PASSWORD.search(uri)
    if password is not None and set(password["secret"]) & set(_MARKS):
        marks = " ".join(_MARKS), quote(" ".join(_MARKS), safe=" ")
        raise ValueError(f"a password must hold the characters {marks[0]} as {marks[1]}")
    parts = urlsplit(uri)
    port = parts.port or _PORTS.get(parts.scheme.partition("+")[0])
    return Peer(parts.hostname, port) if parts.hostname and port else None
