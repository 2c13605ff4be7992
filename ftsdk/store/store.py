"""Keep the durable records of all jobs: each change is on disk before the next effect builds on it."""

import time
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
_NO_NEWS = {"spec", "plan", "rev", "updated"}  # what a job's history need not repeat
_TRIES = 10  # a clash of two names in a row is already unheard of


class Store:
    """The job records, safe to use from many processes at once.

    Beside an SQLite file lies a folder ``records`` with a copy of each record; where the file is lost, the next store
    to be opened restores the records from there.

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
        """The database, with its tables made."""
        self._unprepared.prepare(self._restore)
        return self._unprepared

    def create(self, record: JobRecord) -> tuple[JobRecord, bool]:
        """Keep a new record, and tell whether it is new: where its key was used before, that job's record comes back.

        The record gets another token and id when they are taken.

        Raises:
            StoreError: It cannot be written; nothing is kept.
        """
        for _ in range(_TRIES):
            with suppress(IntegrityError), self._database.write() as db:
                known = record.key and _first(db, JOBS.c.key == record.key)
                if known:
                    return known, False
                self._insert(db, record, "created")
                return record, True
            record = record.with_new_token()
        raise StoreError(f"no free id was found for a new job in {self._database}")

    def get(self, job_id: str) -> JobRecord:
        """The record with this id.

        Raises:
            JobNotFound: There is none.
        """
        with self._database.read() as db:
            return _get(db, job_id)

    def find(self, ref: str) -> JobRecord | None:
        """The record that a reference means: ``backend:native-id``, ``backend:id``, or the bare id."""
        if ":" not in ref:
            wanted = [JOBS.c.id == ref]
        else:
            backend, native_id = JobRef.parse(ref)
            wanted = [(JOBS.c.backend == backend) & (column == native_id) for column in (JOBS.c.native_id, JOBS.c.id)]
        with self._database.read() as db:
            return next((found for where in wanted if (found := _first(db, where))), None)

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

    def update(self, job_id: str, what: str, change: Callable[[JobRecord], JobRecord]) -> JobRecord:
        """Change one record, and write the change into the job's history.

        Args:
            job_id: The job.
            what: What happens, in a word or two.
            change: From the record as it is at this moment to the record as it shall be; pure, as it may run again.
                The same record: nothing is written. An error: nothing is written, and it is raised.

        Returns:
            The record as it is now.
        """
        while True:
            with self._database.write() as db:
                old = _get(db, job_id)
                new = change(old)
                if new == old:
                    return old
                new = new.but(rev=old.rev + 1, updated=time.time())
                if self._replace(db, old, new, what):
                    return new

    def note(self, job_id: str, what: str, data: dict[str, object]) -> None:
        """Write something into a job's history that changes nothing."""
        with self._database.write() as db:
            _log(db, _get(db, job_id), what, data)

    def rebuild(self) -> list[str]:
        """Put a damaged SQLite file aside, and make a new one from the copies of the records.

        Returns:
            What was done, in sentences.

        Raises:
            StoreError: The records are not in an SQLite file, or the copies cannot be read.
        """
        file, mirror = self._unprepared.file, self._mirror
        if file is None or mirror is None:
            raise StoreError(f"{self._unprepared} has no copies here", hint="restore it from its own backup")
        aside = file.with_name(f"{file.name}.damaged-{time.time_ns()}")
        for suffix in ("-journal", ""):
            with suppress(FileNotFoundError):  # a lost file is what this is for
                file.with_name(file.name + suffix).rename(aside.with_name(aside.name + suffix))
        self._unprepared.prepare(self._restore)
        told = f"{file} was put aside as {aside.name}" if aside.exists() else f"{file} was lost"
        _, problems = mirror.load()
        return [told, f"{len(self.summaries())} job records were restored", *map(str, problems)]

    def _restore(self, db: Connection) -> None:
        """Fill new tables from the copies, but for one whose key or native id belongs to an older record."""
        records, _ = self._mirror.load() if self._mirror else ([], [])
        for record in records:
            with suppress(IntegrityError), db.begin_nested():
                db.execute(insert(JOBS).values(record.model_dump(mode="json")))
                _log(db, record, "restored", {})

    def _insert(self, db: Connection, record: JobRecord, what: str) -> None:
        data = record.model_dump(mode="json")
        db.execute(insert(JOBS).values(data))
        _log(db, record, what, {})
        if self._mirror:
            self._mirror.save(record)

    def _replace(self, db: Connection, old: JobRecord, new: JobRecord, what: str) -> bool:
        """Write the new record over the old one, unless another process was faster."""
        before, after = old.model_dump(mode="json"), new.model_dump(mode="json")
        news = {name: value for name, value in after.items() if value != before[name]}
        here = (JOBS.c.id == old.id) & (JOBS.c.rev == old.rev)
        if db.execute(update(JOBS).where(here).values(news)).rowcount == 0:
            return False
        _log(db, new, what, {name: value for name, value in news.items() if name not in _NO_NEWS})
        if self._mirror:
            self._mirror.save(new, before=old)
        return True


def _get(db: Connection, job_id: str) -> JobRecord:
    record = _first(db, JOBS.c.id == job_id)
    if record is None:
        raise JobNotFound(f"no job {job_id!r} is known here", hint="ftsdk jobs lists those that are")
    return record


def _first(db: Connection, where: ColumnElement[bool]) -> JobRecord | None:
    row = db.execute(select(JOBS).where(where)).mappings().first()
    return None if row is None else JobRecord.model_validate(dict(row))


def _summary(row: RowMapping) -> JobSummary:
    data = dict(row)
    ref = str(JobRef(data["backend"], data.pop("native_id") or data["id"]))
    return JobSummary.model_validate({**data, "ref": ref, "state": data["status"]["state"]})


def _log(db: Connection, record: JobRecord, what: str, data: dict[str, object]) -> None:
    entry = RecordChange(job_id=record.id, rev=record.rev, time=time.time(), what=what, data=data)
    db.execute(insert(CHANGES).values(entry.model_dump(mode="json")))
