"""What is special about a SQLite file."""

import sqlite3

import pytest
from tarragon.api import BackendError, Role, Transient
from tarragon_shelf.backend import ShelfBackend
from tarragon_testkit import BytesSource


def test_looking_makes_no_file(tmp_path):
    backend = ShelfBackend(str(tmp_path / "box.db"), 1)
    assert list(backend.list()) == []
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_an_error_that_names_it(tmp_path):
    path = tmp_path / "box.db"
    path.write_text("a letter to the bank, long enough to be looked at\n" * 100)
    with pytest.raises(BackendError, match="box.db"):
        list(ShelfBackend(str(path), 1).list())


def test_a_file_that_another_process_holds_may_be_free_later(tmp_path):
    backend = ShelfBackend(str(tmp_path / "box.db"), 0.01)
    backend.put("a", BytesSource(b"1"), Role.VOLUME)
    other = sqlite3.connect(tmp_path / "box.db", isolation_level=None)
    other.execute("begin exclusive")
    with pytest.raises(Transient):
        backend.put("b", BytesSource(b"2"), Role.VOLUME)
    other.close()
