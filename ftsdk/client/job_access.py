"""From a reference to the job: recorded here, or submitted on another machine and known to its backend alone."""

from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING

from ftsdk import registry
from ftsdk.backend import Backend, Verb
from ftsdk.client import lifecycle
from ftsdk.errors import JobNotFound
from ftsdk.job_types import JobRef, JobStatus
from ftsdk.store.record import JobRecord

if TYPE_CHECKING:
    from ftsdk.store.store import Store


class JobAccess(ABC):
    """One job, and its backend.

    Args:
        backend: The backend's name.
        native_id: The system's name for the job; None while it has none.
        job_id: Its name here.
    """

    def __init__(self, backend: str, native_id: str | None, job_id: str) -> None:
        self.backend = backend
        self.native_id = native_id
        self.id = job_id

    @property
    def ref(self) -> str:
        """The string that finds it from any process."""
        return str(JobRef(self.backend, self.native_id or self.id))

    @cached_property
    def system(self) -> Backend:
        """The backend, imported when it is first needed."""
        return registry.load_backend(self.backend)

    def require_verb(self, verb: Verb) -> Backend:
        """The backend, if it declares the verb.

        Raises:
            BackendError: It does not.
        """
        lifecycle.require_verb(self.system, verb)
        return self.system

    @abstractmethod
    def observe(self) -> JobStatus:
        """The job's present status."""

    @abstractmethod
    def cancel(self) -> JobStatus:
        """Ask it to stop."""

    @abstractmethod
    def resume(self) -> None:
        """Continue it."""


class StoredJob(JobAccess):
    """A job of this store; every observation is stored."""

    def __init__(self, store: "Store", record: JobRecord) -> None:
        super().__init__(record.backend, record.native_id, record.id)
        self._store = store

    def observe(self) -> JobStatus:
        """The job's status; a final one is read from the record, without importing the backend."""
        record = self._store.get(self.id)
        return self._status_of(record if record.state.done else lifecycle.observe(self._store, self.system, record))

    def cancel(self) -> JobStatus:
        """Ask it to stop."""
        return self._status_of(lifecycle.cancel(self._store, self.system, self._store.get(self.id)))

    def resume(self) -> None:
        """Continue it, or send it where its submission was interrupted."""
        self._status_of(lifecycle.resume(self._store, self.system, self._store.get(self.id)))

    def _status_of(self, record: JobRecord) -> JobStatus:
        self.native_id = record.native_id
        return record.status.model_copy(update={"facts": record.facts})


class UnrecordedJob(JobAccess):
    """A job without a record here: every call asks the backend."""

    def __init__(self, ref: JobRef) -> None:
        super().__init__(ref.backend, ref.native_id, ref.native_id)
        self._native_id = ref.native_id

    def observe(self) -> JobStatus:
        """The job's present status."""
        return self.system.status(self._native_id)

    def cancel(self) -> JobStatus:
        """Ask it to stop."""
        self.require_verb("cancel").cancel(self._native_id)
        return self.observe()

    def resume(self) -> None:
        """Continue it."""
        self.require_verb("resume").resume(self._native_id)


def find_job(store: "Store", ref: str) -> JobAccess:
    """Find a job by ``backend:native-id``, ``backend:id``, or its bare id.

    Raises:
        JobNotFound: A bare id that is not recorded here.
    """
    record = store.find(ref) if ref.isprintable() else None
    if record is not None:
        return StoredJob(store, record)
    if ":" not in ref:
        raise JobNotFound(f"no job {ref!r} is recorded here", hint="ftsdk jobs lists the recorded ones")
    return UnrecordedJob(JobRef.parse(ref))
