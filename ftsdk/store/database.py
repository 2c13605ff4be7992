"""Open the database of job records: SQLite in a file, or the database that ``FTSDK_DATABASE_URL`` names."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    Engine,
    Float,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    create_engine,
    event,
    func,
    insert,
    inspect,
    select,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from ftsdk.errors import ConfigError, MissingExtra, StoreBusy, StoreError
from ftsdk.home import home

VARIABLE = "FTSDK_DATABASE_URL"

_tables = MetaData()
JOBS = Table(
    "jobs",
    _tables,
    Column("id", String, primary_key=True),
    Column("token", String, nullable=False, unique=True),
    Column("key", String, unique=True),
    Column("spec_hash", String, nullable=False),
    Column("backend", String, nullable=False),
    Column("native_id", String),
    Column("name", String),
    Column("method", String, nullable=False),
    Column("model", String, nullable=False),
    Column("spec", JSON, nullable=False),
    Column("plan", JSON, nullable=False),
    Column("facts", JSON, nullable=False),
    Column("status", JSON, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("submitter", JSON),
    Column("rev", Integer, nullable=False),
    Column("created", Float, nullable=False, index=True),
    Column("updated", Float, nullable=False),
    UniqueConstraint("backend", "native_id"),
)
CHANGES = Table(
    "changes",
    _tables,
    Column("number", Integer, primary_key=True),
    Column("job_id", ForeignKey("jobs.id"), nullable=False, index=True),
    Column("rev", Integer, nullable=False),
    Column("time", Float, nullable=False),
    Column("what", String, nullable=False),
    Column("data", JSON, nullable=False),
)
_SCHEMA = Table("ftsdk_schema", _tables, Column("version", Integer, primary_key=True))

_STEPS = (_tables.create_all,)
"""From each version of the schema to the next; the first makes it. Append new ones, and never change one."""

# Rollback journal, not WAL: SQLite before 3.51.3 can lose commits in WAL mode, and WAL fails on network folders.
_PRAGMAS = ("foreign_keys = ON", "journal_mode = TRUNCATE", "synchronous = FULL")

_NEXT_STEPS = {
    "SQLITE_FULL": "the disk is full: free some space, then try again",
    "SQLITE_IOERR": "the disk cannot be written or read: check whether it is full or failing, then try again",
    "SQLITE_READONLY": "the file or its folder is read-only: change that, or set FTSDK_HOME to another folder",
    "SQLITE_CANTOPEN": "the file cannot be opened: check its permissions, or set FTSDK_HOME to another folder",
    "SQLITE_CORRUPT": "the file is damaged: rename it, and the next command restores the records from their copies",
    "SQLITE_NOTADB": "the file is no database: rename it, and the next command restores the records from their copies",
}


class Database:
    """Transactions on the job records, each on a connection of its own, so that forks and threads can use them.

    Args:
        url: An SQLAlchemy URL. None: ``FTSDK_DATABASE_URL``, or SQLite in ``jobs.db`` of the state folder.
        patience: Seconds to wait for other processes.

    Raises:
        ConfigError: The URL cannot be used.
        MissingExtra: Its driver is not installed.
    """

    def __init__(self, url: str | None = None, *, patience: float = 60.0) -> None:
        self.url = _parse(url or os.environ.get(VARIABLE))
        self.file = Path(self.url.database or "") if self.url.get_backend_name() == "sqlite" else None
        self._engine = _engine(self.url, patience)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A read-only transaction."""
        with self._translate_errors(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that holds the write lock from its start; it is durable when the block has ended.

        Raises:
            StoreBusy: Another process held the lock for longer than the patience.
            StoreError: The database cannot be written; with the next step.
        """
        with self._translate_errors(), self._engine.execution_options(ftsdk_writes=True).begin() as connection:
            yield connection

    def prepare(self, fill: Callable[[Connection], object]) -> None:
        """Create or migrate the tables where needed.

        Args:
            fill: Called when the tables are new, in the transaction that creates them.

        Raises:
            StoreError: A newer ftsdk wrote them.
        """
        if self.file is not None:
            _create_private(self.file)
        with self.read() as db:
            version = _version(db)
        if version == len(_STEPS):
            return
        with self.write() as db:
            if self._migrate(db) == 0:
                fill(db)

    def _migrate(self, db: Connection) -> int:
        """Run the missing steps, and return the version before them."""
        # Read again under the write lock: another process may have migrated since the first look.
        version = _version(db)
        if version > len(_STEPS):
            raise StoreError(
                f"the job records in {self} have version {version}; this ftsdk knows versions up to {len(_STEPS)}",
                hint="upgrade ftsdk: pip install --upgrade ftsdk",
            )
        for number, step in enumerate(_STEPS[version:], start=version + 1):
            step(db)
            db.execute(insert(_SCHEMA).values(version=number))
        return version

    def __str__(self) -> str:
        return str(self.file) if self.file is not None else self.url.render_as_string()

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            # A key, token or id is taken. The store expects this and handles it.
            raise
        except (DBAPIError, sqlite3.Error) as error:
            raise self._to_store_error(error.orig if isinstance(error, DBAPIError) else error) from error

    def _to_store_error(self, cause: BaseException | None) -> StoreError:
        code = str(getattr(cause, "sqlite_errorname", ""))
        if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return StoreBusy(f"another process holds the job records in {self}", hint="try again in a minute")
        hint = next((step for start, step in _NEXT_STEPS.items() if code.startswith(start)), "")
        return StoreError(f"the job records in {self} cannot be used: {cause}", hint=hint)


def _parse(text: str | None) -> URL:
    if not text:
        return URL.create("sqlite", database=str(home() / "jobs.db"))
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise ConfigError(
            f"{VARIABLE} is no database URL", hint="for example postgresql+psycopg://host/name"
        ) from error
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise ConfigError(f"{VARIABLE}: job records must outlive the process", hint="name a file: sqlite:///jobs.db")
    return url


def _engine(url: URL, patience: float) -> Engine:
    sqlite = url.get_backend_name() == "sqlite"
    try:
        # Without a pool, no connection outlives its transaction: SQLite's must not be carried across a fork.
        engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": patience} if sqlite else {})
    except ModuleNotFoundError as error:
        raise MissingExtra("postgres", error.name or str(error)) from error
    except NoSuchModuleError as error:
        raise ConfigError(f"{VARIABLE}: no database is called {url.drivername!r}") from error
    if sqlite:
        event.listen(engine, "connect", _set_up)
        event.listen(engine, "begin", _begin)
    return engine


def _set_up(connection: Any, _record: object) -> None:
    # The driver must not start transactions: it would do so as late as the first write, and _begin decides which kind.
    connection.isolation_level = None
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    # A transaction that reads first and then writes fails at once, without waiting for the timeout, when another one
    # wrote in between: its snapshot is out of date. IMMEDIATE takes the write lock at the start, and waits for it.
    writes = connection.get_execution_options().get("ftsdk_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _create_private(file: Path) -> None:
    """Create the file before SQLite does, readable by the user alone; SQLite gives its journal the same mode."""
    try:
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StoreError(
            f"the job records in {file} cannot be opened: {error.strerror}", hint=_NEXT_STEPS["SQLITE_CANTOPEN"]
        ) from error


def _version(db: Connection) -> int:
    if not inspect(db).has_table(_SCHEMA.name):
        return 0
    return db.execute(select(func.max(_SCHEMA.c.version))).scalar() or 0
