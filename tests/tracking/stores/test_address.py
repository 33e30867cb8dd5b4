import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import make_url

from looped.rules import without_passwords
from looped.tracking.stores.address import (
    Peer,
    address_of,
    database_of,
    peer_of,
    remove_stray_folders,
)

NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1)
PATHS = st.lists(NAMES.filter(lambda name: name not in (".", "..")), min_size=1).map(
    lambda names: Path("/", *names)
)
PASSWORDS = st.text("abcXYZ0159#/?@[]%:.&=!$'\"+-_~", min_size=1)


@given(PATHS)
def test_a_path_is_the_one_that_sqlalchemy_opens_whatever_it_holds(path):
    address = address_of(path)
    assert database_of(address) == path
    assert database_of(f"{address}?timeout=60") == path
    assert make_url(f"{address}?timeout=60").database == str(path)


@given(PASSWORDS)
def test_no_password_is_shown(password):
    password = f"kept{password}secret"
    for scheme in ("http", "postgresql", "mysql+pymysql", "mssql"):
        line = without_passwords(f"got '{scheme}://me:{password}@10.0.0.2:5000/x', away")
        assert line == f"got '{scheme}://me:...@10.0.0.2:5000/x', away"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("http://127.0.0.1:5000/a@b", "http://127.0.0.1:5000/a@b"),
        ("sqlite:////home/me@work/mlflow.db", "sqlite:////home/me@work/mlflow.db"),
        ("https://token@host/x", "https://...@host/x"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("postgresql://host/db?user=me&password=x#y&a=1", "postgresql://host/db?user=me&password=...&a=1"),
        ("http://a:b@h and http://c:d@i", "http://a:...@h and http://c:...@i"),
    ],
)  # fmt: skip
def test_what_is_no_password_is_shown(text, line):
    assert without_passwords(text) == line


@pytest.mark.parametrize("mark", "#/?@[]")
def test_a_password_that_divides_the_address_is_refused_and_not_shown(mark):
    with pytest.raises(ValueError, match=r"a password must hold .* as %23 %2F %3F") as caught:
        peer_of(f"postgresql+psycopg2://me:a{mark}b@10.0.0.2/db")
    assert f"a{mark}b" not in str(caught.value)


def test_where_a_database_listens():
    assert peer_of("postgresql+psycopg2://me:a%23%5Bb@10.0.0.2/db") == Peer("10.0.0.2", 5432)
    assert peer_of("mysql://10.0.0.2:33/db") == Peer("10.0.0.2", 33)
    assert peer_of("sqlite:///mlflow.db") is None


def test_only_empty_folders_that_are_named_as_the_address_are_removed(tmp_path):
    database = tmp_path / "a b" / "c é" / "mlflow.db"
    stray = tmp_path / "a%20b" / "c%20%C3%A9"
    for folder in (database.parent, stray):
        folder.mkdir(parents=True)
    remove_stray_folders(address_of(database))
    assert os.listdir(tmp_path) == ["a b"]
    stray.mkdir(parents=True)
    (tmp_path / "a%20b" / "mine").write_text("")
    remove_stray_folders(address_of(database))
    assert os.listdir(tmp_path / "a%20b") == ["mine"]
    assert database.parent.exists()
