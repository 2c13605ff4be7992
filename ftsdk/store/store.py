"""The durable records of all jobs: each change is on disk before an effect that depends on it."""

import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property

from sqlalchemy import ColumnElement, Connection, RowMapping, insert, select, update
from sqlalchemy.exc import IntegrityError

from ftsdk.errors import JobNotFound, StoreError
from ftsdk.job_types import JobRef
from ftsdk.store.database import CHANGES, JOBS, Database
from ftsdk.store.mirror import Mirror
from ftsdk.store.record import JobRecord, JobSummary, RecordChange

_SUMMARY = [JOBS.c[name] for name in ("id", "name", "backend", "native_id", "method", "model", "status", "created")]
_NOT_IN_HISTORY = {"spec", "plan", "rev", "updated"}
"""Fields that never change, or that each entry has anyway."""
_TRIES = 10
"""For a free id; even two collisions in a row are next to impossible."""


class Store:
    """The job records, safe to use from many processes at once.

    Beside an SQLite file is a folder ``records`` with a copy of each record. Where the file is lost, the next store
    that is opened restores the records from there.

    Args:
        url: An SQLAlchemy URL. None: ``FTSDK_DATABASE_URL``, or SQLite in the state folder.
        patience: Seconds to wait for other processes.
    """

    def __init__(self, url: str | None = None, *, patience: float = 60.0) -> None:
        self._unprepared = Database(url, patience=patience)
        file = self._unprepared.file
        self._mirror = Mirror(file.parent / "records") if file is not None else None

    @cached_property
    def _database(self) -> Database:
        """The database, with its tables."""
        self._unprepared.prepare(self._restore)
        return self._unprepared

    def create(self, record: JobRecord) -> tuple[JobRecord, bool]:
        """Store a new record; where its key was used before, nothing is stored, and that job's record is returned.

        The record gets another token and id when they are taken.

        Returns:
            The record, and whether it is new.

        Raises:
            StoreError: It cannot be written; nothing is stored.
        """
        for _ in range(_TRIES):
            # The key is looked up in the transaction that stores the record, so that of two processes with one key only
            # one stores a job. After an IntegrityError (token or id are taken, or a key on a database without a global
            # write lock), the next try sees the record that was faster.
            with suppress(IntegrityError), self._database.write() as db:
                existing = record.key and _first(db, JOBS.c.key == record.key)
                if existing:
                    return existing, False
                self._insert(db, record, "created")
                return record, True
            record = record.with_new_token()
        raise StoreError(f"no free id for a new job in {self._database}")

    def get(self, job_id: str) -> JobRecord:
        """The record with this id.

        Raises:
            JobNotFound: There is none.
        """
        with self._database.read() as db:
            return _get(db, job_id)

    def find(self, ref: str) -> JobRecord | None:
        """The record of a reference: ``backend:native-id``, ``backend:id``, or the bare id."""
        if ":" not in ref:
            conditions = [JOBS.c.id == ref]
        else:
            backend, native_id = JobRef.parse(ref)
            conditions = [
                (JOBS.c.backend == backend) & (column == native_id) for column in (JOBS.c.native_id, JOBS.c.id)
            ]
        with self._database.read() as db:
            return next((record for where in conditions if (record := _first(db, where))), None)

    def summaries(self, limit: int | None = None) -> list[JobSummary]:
        """All jobs, the newest first."""
        query = select(*_SUMMARY).order_by(JOBS.c.created.desc()).limit(limit)
        with self._database.read() as db:
            return [_summary(row) for row in db.execute(query).mappings()]

    def changes(self, job_id: str) -> list[RecordChange]:
        """The history of one job, in order."""
        query = select(CHANGES).where(CHANGES.c.job_id == job_id).order_by(CHANGES.c.number)
        columns = set(RecordChange.model_fields)
        with self._database.read() as db:
            rows = db.execute(query).mappings().all()
        return [RecordChange.model_validate({name: row[name] for name in columns}) for row in rows]

    def update(self, job_id: str, action: str, change: Callable[[JobRecord], JobRecord]) -> JobRecord:
        """Change one record, and write the change into the job's history.

        Args:
            job_id: The job.
            action: What happens, in a word or two, for the history.
            change: Returns the new record for the present one; pure, because it may run again. Where it returns an
                equal record or raises an error, nothing is written.

        Returns:
            The record as it is now.
        """
        # Compare and swap: SQLite's write lock covers the read and the write. Other databases may not lock the row that
        # was read, so the write succeeds only on the revision that was read; otherwise the change runs again.
        while True:
            with self._database.write() as db:
                old = _get(db, job_id)
                new = change(old)
                if new == old:
                    return old
                new = new.replace(rev=old.rev + 1, updated=time.time())
                if self._write_if_unchanged(db, old, new, action):
                    return new

    def note(self, job_id: str, action: str, data: dict[str, object]) -> None:
        """Add an entry to a job's history without changing its record."""
        with self._database.write() as db:
            _log(db, _get(db, job_id), action, data)

    def _restore(self, db: Connection) -> None:
        """Fill new tables from the copies, except one whose key or native id belongs to an older record."""
        records, problems = self._mirror.load() if self._mirror else ([], [])
        for problem in problems:
            warnings.warn(f"a job record was not restored: {problem}", RuntimeWarning, stacklevel=2)
        for record in records:
            # A savepoint for each record, so that a conflict undoes one insertion and not those before it. A copy is
            # written before its record is committed; after a crash between the two, its key may be another job's.
            with suppress(IntegrityError), db.begin_nested():
                db.execute(insert(JOBS).values(record.model_dump(mode="json")))
                _log(db, record, "restored", {})

    def _insert(self, db: Connection, record: JobRecord, action: str) -> None:
        data = record.model_dump(mode="json")
        db.execute(insert(JOBS).values(data))
        _log(db, record, action, {})
        # The copy is written inside the transaction: if it cannot be written, nothing is committed. A copy without a
        # record (a crash before the commit) is harmless; a record without a copy could be lost.
        if self._mirror:
            self._mirror.save(record)

    def _write_if_unchanged(self, db: Connection, old: JobRecord, new: JobRecord, action: str) -> bool:
        """Write the new record over the old one; False where another process has changed that one."""
        before, after = old.model_dump(mode="json"), new.model_dump(mode="json")
        changes = {name: value for name, value in after.items() if value != before[name]}
        same_revision = (JOBS.c.id == old.id) & (JOBS.c.rev == old.rev)
        if db.execute(update(JOBS).where(same_revision).values(changes)).rowcount == 0:
            return False
        _log(db, new, action, {name: value for name, value in changes.items() if name not in _NOT_IN_HISTORY})
        if self._mirror:
            self._mirror.save(new, before=old)
        return True


def _get(db: Connection, job_id: str) -> JobRecord:
    record = _first(db, JOBS.c.id == job_id)
    if record is None:
        raise JobNotFound(f"no job {job_id!r} is recorded here", hint="ftsdk jobs lists the recorded ones")
    return record


def _first(db: Connection, where: ColumnElement[bool]) -> JobRecord | None:
    row = db.execute(select(JOBS).where(where)).mappings().first()
    return None if row is None else JobRecord.model_validate(dict(row))


def _summary(row: RowMapping) -> JobSummary:
    data = dict(row)
    ref = str(JobRef(data["backend"], data.pop("native_id") or data["id"]))
    return JobSummary.model_validate({**data, "ref": ref, "state": data["status"]["state"]})


def _log(db: Connection, record: JobRecord, action: str, data: dict[str, object]) -> None:
    entry = RecordChange(job_id=record.id, rev=record.rev, time=time.time(), what=action, data=data)
    db.execute(insert(CHANGES).values(entry.model_dump(mode="json")))
