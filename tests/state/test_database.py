from __future__ import annotations

import contextlib
import os
import sqlite3

import pytest

from devrun.errors import StateError
from devrun.state import database, open_state
from devrun.state.journal import JournalRow


@pytest.fixture
def file(tmp_path):
    return tmp_path / "devrun-state" / "state.db"


def test_an_absent_state_is_empty_and_stays_absent(tmp_path):
    with open_state(create=False) as state:
        assert state.runs.all() == []
        assert state.leases.all() == []
        assert state.journal.history() == []
    assert not os.path.exists(tmp_path / "devrun-state")


def test_a_reader_changes_nothing(file):
    with open_state() as state:
        state.journal.record([JournalRow(verb="sweep", pid=1)])
    before = file.read_bytes()
    with open_state(create=False) as state:
        assert [row.pid for row in state.journal.history()] == [1]
        with pytest.raises(StateError, match="reading only"):
            state.journal.record([JournalRow(verb="sweep")])
    assert file.read_bytes() == before


def test_a_state_that_cannot_be_looked_at_is_not_taken_for_an_absent_one(file, monkeypatch):
    open_state().close()
    look = os.stat

    def refuse(path, **options):
        if os.fspath(path) == str(file):
            raise PermissionError(13, "Permission denied", path)
        return look(path, **options)

    monkeypatch.setattr(os, "stat", refuse)
    with pytest.raises(StateError, match="permission denied") as caught:
        open_state(create=False)
    assert "DEVRUN_STATE_DIR" in caught.value.hint


def test_a_row_of_the_journal_with_a_path_that_is_not_utf_8_is_kept():
    with open_state() as state:
        state.journal.record([JournalRow(verb="sweep", pid=1, cwd=os.fsdecode(b"/w/bad\xff"), detail="x")])
        (row,) = state.journal.history()
    assert (row.cwd, row.detail) == ("/w/bad\ufffd", "x")


def test_a_read_only_state_is_said_with_the_command_that_helps(file):
    open_state().close()
    with open_state() as state:
        connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
        with pytest.raises(StateError, match="is read-only") as caught, database.explained(str(file)):
            connection.execute("INSERT INTO journal (time, record) VALUES (1, '')")
        connection.close()
        assert caught.value.hint == f"`chmod -R u+rwX {state.path}`"


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize("damage", ["garbage", "torn"])
def test_a_corrupt_state_names_its_path_and_the_command_that_rebuilds(file, create, damage):
    open_state().close()
    whole = file.read_bytes()
    file.write_bytes(b"no database at all" * 100 if damage == "garbage" else whole[:100] + b"\xff" * (len(whole) - 100))
    with pytest.raises(StateError, match="corrupt") as caught, open_state(create=create) as state:
        state.leases.all()
    assert str(file) in caught.value.message
    assert f"mv {file} {file}.broken" in caught.value.hint


TORN = {
    "leases": "INSERT INTO leases VALUES ('/a', NULL, 1, 1, 0, '{torn')",
    "runs": "INSERT INTO runs VALUES ('a', '/a', 1, NULL, '{\"id\": 7}')",
    "journal": "INSERT INTO journal (time, record) VALUES (1, x'ff00')",
}
ASK = {
    "leases": (lambda it: it.leases.all(), lambda it: it.leases.get("/a")),
    "runs": (lambda it: it.runs.all(), lambda it: it.runs.get("a"), lambda it: it.runs.alive("/a")),
    "journal": (lambda it: it.journal.history(),),
}


@pytest.mark.parametrize("table", TORN)
def test_a_record_that_is_damaged_is_a_corrupt_state_and_no_bug(file, table):
    open_state().close()
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(TORN[table])
    with open_state(create=False) as state:
        for ask in ASK[table]:
            with pytest.raises(StateError, match="is corrupt: a record cannot be read") as caught:
                ask(state)
            assert f"mv {file} {file}.broken" in caught.value.hint


@pytest.mark.parametrize("record", [3, 1.5, b'{"verb": "x", "time": 1e300}', b'{"verb": "x", "time": -1e300}', b""])
def test_a_row_of_the_journal_that_no_journal_has_is_damage(file, record):
    open_state().close()
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("INSERT INTO journal (time, record) VALUES (1.0, ?)", (record,))
    with open_state(create=False) as state, pytest.raises(StateError, match="is corrupt: a record cannot be read"):
        state.journal.history()


def test_tables_of_another_schema_are_a_corrupt_state(file):
    open_state().close()
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("PRAGMA user_version=0")
    for create in (True, False):
        with pytest.raises(StateError, match="is corrupt"):
            open_state(create=create)


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["fifo", "folder"])
def test_what_is_no_file_is_said_and_not_waited_for(file, create, make):
    file.parent.mkdir()
    make(file)
    with pytest.raises(StateError, match="cannot be used: not a file") as caught:
        open_state(create=create)
    assert str(file) in caught.value.message


def test_the_command_that_rebuilds_works(file):
    open_state().close()
    file.write_bytes(b"garbage" * 1000)
    os.system(database.rebuild_command(str(file)))
    with open_state() as state:
        assert state.leases.all() == []


def test_an_empty_file_is_a_state_that_was_never_written(file):
    file.parent.mkdir()
    file.touch()
    with open_state(create=False) as state:
        assert state.runs.all() == []
    open_state().close()


def test_a_newer_schema_is_refused_and_untouched(file):
    open_state().close()
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA user_version=99")
    connection.close()
    before = file.read_bytes()
    for create in (True, False):
        with pytest.raises(StateError, match="newer devrun"):
            open_state(create=create)
    assert file.read_bytes() == before


class TestMigration:
    @pytest.fixture
    def newer(self, monkeypatch):
        open_state().close()
        step = "ALTER TABLE runs ADD COLUMN note TEXT; CREATE TABLE notes (text TEXT)"
        monkeypatch.setattr(database, "MIGRATIONS", (*database.MIGRATIONS, step))
        monkeypatch.setattr(database, "SCHEMA", len(database.MIGRATIONS))

    def test_a_writer_migrates_and_keeps_what_is_there(self, file):
        with open_state() as state:
            state.journal.record([JournalRow(verb="sweep", pid=1)])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(database, "MIGRATIONS", (*database.MIGRATIONS, "CREATE TABLE notes (text TEXT)"))
            patch.setattr(database, "SCHEMA", len(database.MIGRATIONS))
            with open_state() as state:
                assert [row.pid for row in state.journal.history()] == [1]
            with sqlite3.connect(file) as connection:
                assert connection.execute("PRAGMA user_version").fetchone() == (database.SCHEMA,)
            connection.close()

    def test_a_reader_reads_an_old_state_without_migrating_it(self, file, newer):
        before = file.read_bytes()
        with open_state(create=False) as state:
            assert state.runs.all() == []
        assert file.read_bytes() == before

    def test_a_migration_that_fails_changes_nothing(self, file, monkeypatch):
        open_state().close()
        before = file.read_bytes()
        monkeypatch.setattr(database, "MIGRATIONS", (*database.MIGRATIONS, "CREATE TABLE notes (a); no sql"))
        monkeypatch.setattr(database, "SCHEMA", len(database.MIGRATIONS))
        with pytest.raises(StateError):
            open_state()
        with sqlite3.connect(file) as connection:
            assert connection.execute("SELECT name FROM sqlite_master WHERE name = 'notes'").fetchall() == []
        connection.close()
        assert len(file.read_bytes()) == len(before)


def write_and_fail(state):
    with state.writing():
        state.journal.record([JournalRow(verb="sweep")])
        raise ZeroDivisionError


def test_a_write_that_fails_leaves_nothing_behind():
    with open_state() as state:
        with pytest.raises(ZeroDivisionError):
            write_and_fail(state)
        assert state.journal.history() == []


def test_a_lock_that_is_not_given_back_is_an_error_with_the_path(file, monkeypatch):
    monkeypatch.setattr(database, "LOCK_WAIT", 0.01)
    with open_state() as one, open_state() as two, one.writing():
        with pytest.raises(StateError, match="locked by another devrun") as caught:
            two.journal.record([JournalRow(verb="sweep")])
        assert str(file) in caught.value.message


def test_a_reader_does_not_wait_for_a_writer():
    with open_state() as one, one.writing(), open_state(create=False) as two:
        assert two.leases.all() == []


def test_what_a_killed_writer_left_half_done_is_not_seen(file, processes):
    """A hot journal beside the file: SQLite must roll it back, for a reader, too."""
    open_state().close()
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    connection.close()
    half = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size=1")
connection.execute("BEGIN IMMEDIATE")
for number in range(2000):
    connection.execute("INSERT INTO journal (time, record) VALUES (1, ?)", (b"x" * 500,))
ready()
rest()
"""
    child = processes.python(half, str(file))
    child.process.kill()
    child.process.wait(30)
    assert os.path.exists(f"{file}-journal")
    with open_state(create=False) as state:
        assert state.journal.history() == []


def test_the_journal_is_bounded(monkeypatch):
    from devrun.state import journal

    monkeypatch.setattr(journal, "KEPT_ROWS", 5)
    with open_state() as state:
        for pid in range(12):
            state.journal.record([JournalRow(verb="sweep", pid=pid, time=float(pid + 1))])
        assert [row.pid for row in state.journal.history()] == [7, 8, 9, 10, 11]
        assert [row.pid for row in state.journal.history(limit=2)] == [10, 11]
        assert [row.pid for row in state.journal.history(since=12.0)] == [11]


def test_an_empty_record_does_not_even_lock():
    with open_state(create=False) as state:
        state.journal.record([])


def test_a_path_with_odd_characters_is_fine(monkeypatch, tmp_path):
    monkeypatch.setenv("DEVRUN_STATE_DIR", str(tmp_path / "a?b#c%20 d'é"))
    with open_state() as state:
        assert state.leases.all() == []
    with open_state(create=False) as state:
        assert state.leases.all() == []


def test_a_write_that_cannot_be_finished_does_not_keep_everybody_out(file, monkeypatch):
    """Where the file system has no WAL, a reader may be in the way of COMMIT itself; what began is undone then."""
    open_state().close()
    with contextlib.closing(sqlite3.connect(file)) as other:
        other.execute("PRAGMA journal_mode=DELETE")
    monkeypatch.setattr(database, "LOCK_WAIT", 0.01)
    with open_state() as state, contextlib.closing(sqlite3.connect(file, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM journal").fetchone()
        with pytest.raises(StateError, match="locked"):
            state.journal.record([JournalRow(verb="lost")])
        reader.execute("COMMIT")
        with open_state() as another:
            another.journal.record([JournalRow(verb="another")])
        state.journal.record([JournalRow(verb="again")])
        assert [row.verb for row in another_reading()] == ["another", "again"]


def another_reading():
    with open_state(create=False) as state:
        return state.journal.history()
