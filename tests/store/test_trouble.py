"""The store with damaged files, full disks and missing rights: nothing is lost, and errors have a next step."""

import multiprocessing
import os
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
from contextlib import closing

import pytest

from ftsdk.backend import Plan
from ftsdk.errors import ConfigError, MissingExtra, StoreBusy, StoreError
from ftsdk.job_types import JobState, JobStatus
from ftsdk.process_identity import current_process
from ftsdk.spec import JobSpec
from ftsdk.store.record import JobRecord
from ftsdk.store.store import Store

PLAN = Plan(backend="fake", spec=JobSpec(model="org/model", dataset="rows.jsonl"), native={})
NOBODY = 65534


def new_record(key=None):
    return JobRecord.new(PLAN, key=key, submitter=current_process())


@pytest.fixture
def records():
    store = Store()
    return [store.create(new_record(key=str(number)))[0] for number in range(3)]


@pytest.fixture
def database(records, ftsdk_home):
    return ftsdk_home / "jobs.db"


def test_lost_database_is_restored(records, database):
    """Where the file is missing, the next store restores every record from its copy."""
    database.unlink()

    assert sorted(records, key=str) == sorted((Store().get(record.id) for record in records), key=str)


def test_copies_have_what_recovery_needs(records, database):
    """A restored record has the native id and the facts: nothing would be created twice."""
    changes = {"native_id": "ft-1", "facts": {"upload": "file-1"}, "status": JobStatus(state=JobState.QUEUED)}
    Store().update(records[0].id, "created", lambda now: now.replace(**changes))
    database.unlink()

    restored = Store().get(records[0].id)
    assert changes == {name: getattr(restored, name) for name in changes}


@pytest.mark.parametrize("damage", [b"\0" * 4096, b"this is no database at all" * 200, b""])
def test_damaged_database_is_rebuilt(records, database, damage):
    """Once a damaged file is renamed, as the error says, the next store restores the records from their copies."""
    with database.open("r+b") as file:
        file.truncate(len(damage))
        file.write(damage)
    if damage.strip(b"\0"):
        with pytest.raises(StoreError, match="rename it"):
            Store().summaries()
    damaged = database.rename(database.with_name("damaged.db"))

    assert {record.id for record in records} == {line.id for line in Store().summaries()}
    assert damage == damaged.read_bytes()


def test_damage_is_named_with_the_next_step(records, database):
    """Reading a damaged file is an error with its name and the next step."""
    database.write_bytes(b"this is no database at all" * 200)

    with pytest.raises(StoreError, match=r"jobs\.db cannot be used(.|\n)*rename it"):
        Store().summaries()


def test_unreadable_copy_is_named_and_left(records, database, ftsdk_home):
    """A copy that cannot be read is reported with its name; the other records are restored."""
    damaged = ftsdk_home / "records" / f"{records[0].id}.json"
    damaged.write_text('{"id":')
    database.unlink()

    with pytest.warns(RuntimeWarning, match="was not restored") as reports:
        summaries = Store().summaries()

    assert (2, True, True) == (len(summaries), str(damaged) in str(reports[0].message), damaged.exists())


def test_copy_with_a_taken_key_does_not_prevent_the_rest(records, database, ftsdk_home):
    """A copy whose record was never committed (its key is another job's) is left out; the others are restored."""
    newer = new_record(key="0").replace(created=records[0].created + 100)
    (ftsdk_home / "records" / f"{newer.id}.json").write_text(newer.model_dump_json())
    database.unlink()

    assert {record.id for record in records} == {line.id for line in Store().summaries()}


def test_newer_schema_is_refused(records, database):
    """Records of a newer ftsdk are left alone, and its version is named."""
    with closing(sqlite3.connect(database)) as db, db:
        db.execute("UPDATE ftsdk_schema SET version = 99")

    with pytest.raises(StoreError, match=r"version 99(.|\n)*upgrade ftsdk"):
        Store().summaries()


def test_busy_database_is_reported(records, database):
    """Where another process writes for longer than the patience, the error says so, and nothing is written."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreBusy, match="another process"):
            Store(patience=0.05).create(new_record())

    assert 3 == len(Store().summaries())


@pytest.mark.parametrize("name", ["jobs.db", "records"])
def test_unwritable_path_is_named_with_the_next_step(records, ftsdk_home, name):
    """A file in the place of a folder, or the reverse, stands in for missing permissions, which root has anyway."""
    place = ftsdk_home / name
    place.rename(ftsdk_home / "moved")
    if name == "records":
        place.touch()
    else:
        place.mkdir()

    with pytest.raises(StoreError, match=r"cannot be (opened|written)(.|\n)*Next: "):
        Store().create(new_record())


def test_read_only_home_is_reported(monkeypatch):
    """A state folder without the right to write is an error with the next step."""

    def attempt(answers, folder):
        os.chown(folder, NOBODY if os.geteuid() == 0 else -1, -1)
        os.chmod(folder, 0o500)  # noqa: PTH101 - beside chown
        if os.geteuid() == 0:  # root may write anywhere, so this process becomes another user
            os.setuid(NOBODY)
        try:
            answers.put(Store().create(new_record())[0].id)
        except ConfigError as error:
            answers.put(str(error))

    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("FTSDK_HOME", folder)
        process = context.Process(target=attempt, args=(answers, folder))
        process.start()
        process.join()

    assert "you may not write to it\n  Next: set FTSDK_HOME" in answers.get()


def test_full_disk_keeps_what_was_acknowledged(ftsdk_home):
    """On a full disk the error says so, and every acknowledged record is still there."""
    script = f"""
        import resource, signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        from ftsdk.errors import StoreError
        from ftsdk.process_identity import current_process
        from ftsdk.store.record import JobRecord
        from ftsdk.backend import Plan
        from ftsdk.store.store import Store
        store = Store()
        plan = Plan.model_validate_json({PLAN.model_dump_json(exclude_unset=True)!r})
        store.summaries()
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            for _ in range(1000):
                print(store.create(JobRecord.new(plan, key=None, submitter=current_process()))[0].id, flush=True)
        except StoreError as error:
            print(bool(error.hint))
    """
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True
    )

    *acknowledged, explained = process.stdout.split()
    assert ("True", set()) == (explained, set(acknowledged) - {line.id for line in Store().summaries()})


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "not a url", "nosuch://host/name"])
def test_unusable_url_is_refused(url):
    """A URL that cannot hold durable records is a configuration error."""
    with pytest.raises(ConfigError, match="FTSDK_DATABASE_URL"):
        Store(url)


def test_missing_driver_gives_the_pip_line(monkeypatch):
    """PostgreSQL without its driver: the error has the pip command."""
    monkeypatch.setitem(sys.modules, "psycopg", None)

    with pytest.raises(MissingExtra, match=r"pip install 'ftsdk\[postgres\]'"):
        Store("postgresql+psycopg://user:pw@host/name")
