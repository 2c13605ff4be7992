"""The base of hosted backends: when a paid job may be created, and when it may be cancelled.

A backend of this kind has two parts. A :class:`RemoteBackend` is the contract's object; it connects for each call. A
:class:`RemoteService` is the service over one open connection: it knows how to create, find, observe and stop a
job there, and this module decides when that is done.
"""

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, ClassVar, Generic, Literal, NamedTuple, TypeVar

from pydantic import Field

from ftsdk.artifact import Artifact
from ftsdk.backend import Backend, Options, Plan, Record
from ftsdk.errors import FtsdkError, JobNotFound, Problem
from ftsdk.job_types import Event, JobState, JobStatus
from ftsdk.remote.create_once import IdempotentCreate
from ftsdk.remote.error_mapper import ErrorMapper
from ftsdk.remote.retries import RetryPolicy, Timeouts

Request = TypeVar("Request")


class RemoteOptions(Options):
    """Settings of every backend that creates paid jobs at a service."""

    on_ambiguous: Literal["park", "recreate"] = "park"
    """When no answer came and no job shows up: ``park`` the job, or create it again, which may be paid twice."""
    settle_seconds: Annotated[float, Field(ge=0, le=3600)] = 30.0
    """How long to look for a job whose creation got no answer."""


class ServiceJob(NamedTuple):
    """A job in the service's list, or as the service describes it."""

    native_id: str
    state: JobState
    created: str = ""
    """When, as the service writes it: texts that sort by time."""

    @property
    def is_ending(self) -> bool:
        """Whether it has ended, or has been asked to."""
        return self.state.done or self.state is JobState.CANCELLING


class RemoteService(ABC, Generic[Request]):
    """One service over one connection.

    Args:
        timing: How long calls and pauses may take.
    """

    title: ClassVar[str]
    """The service's name, for messages."""
    job_list: ClassVar[str]
    """Where a user sees all jobs, for hints: ``replicate.com/trainings``."""
    error_mapper: ClassVar[ErrorMapper]
    creation: ClassVar[str] = "create the job"
    """What :meth:`create` does, for messages."""
    resends_creation: ClassVar[bool] = False
    """Whether a creation that was refused for the moment (HTTP 429), or never left, is sent again at once."""

    def __init__(self, timing: Timeouts) -> None:
        self.timing = timing

    # What each service does in its own way.

    @abstractmethod
    def prepare(self, plan: Plan, token: str, record: Record) -> Request:
        """Do all that precedes the creation and costs nothing, such as uploads; safe to repeat."""

    @abstractmethod
    def create(self, request: Request, plan: Plan, token: str, record: Record) -> str | None:
        """Send the creation exactly once, and return the job's id; None where the answer names none.

        Its errors are the client's own, because they decide whether a job may exist.
        """

    @abstractmethod
    def find_job(self, plan: Plan, token: str, request: Request | None) -> str | None:
        """The id of the one job with this token in the service's list; None where it shows none now.

        Args:
            plan: Its facts are those of earlier calls.
            token: The submission's.
            request: What :meth:`prepare` made, where this very call has sent the creation.
        """

    @abstractmethod
    def observe(self, native_id: str) -> ServiceJob:
        """The job as it is now, under the id that it has now: a service may restart a job under another one."""

    @abstractmethod
    def stop(self, native_id: str) -> None:
        """Ask a job to stop."""

    @abstractmethod
    def status(self, native_id: str) -> JobStatus:
        """See :meth:`ftsdk.backend.Backend.status`."""

    @abstractmethod
    def events(self, native_id: str, after: str | None) -> Iterable[Event]:
        """See :meth:`ftsdk.backend.Backend.events`."""

    @abstractmethod
    def fetch(self, native_id: str, folder: Path) -> Artifact:
        """See :meth:`ftsdk.backend.Backend.fetch`."""

    # The rules about money, the same for all services. What may be sent again is decided in create_once.

    def submit(self, plan: Plan, token: str, record: Record) -> str:
        """See :meth:`ftsdk.backend.Backend.submit`: look for an earlier job, prepare, create once."""
        if earlier := self.find(plan, token):
            return earlier
        request = self.prepare(plan, token, record)
        return self._idempotent_create(plan).create(
            send=lambda: self.create(request, plan, token, record),
            find_job=lambda: self.find_job(plan, token, request),
            record=record,
            map_error=lambda error: self.error_mapper.map(error, self.creation),
        )

    def find(self, plan: Plan, token: str) -> str | None:
        """The job of an earlier submission with this token, or None where it is certain that there is none.

        Raises:
            AmbiguousError: A creation was sent, and no job shows up, or the list cannot be read.
        """
        return self._idempotent_create(plan).find(lambda: self.find_job(plan, token, None))

    def cancel(self, native_id: str) -> None:
        """Ask the job to stop; without effect on one that has ended or is stopping."""
        job = self.observe(native_id)
        if job.is_ending:
            return
        try:
            self.stop(job.native_id)
        except FtsdkError:
            # It may just have ended by itself. A real failure must be seen: the job goes on, and costs.
            if not self.observe(job.native_id).is_ending:
                raise

    def _idempotent_create(self, plan: Plan) -> IdempotentCreate:
        return IdempotentCreate(
            service=self.title,
            plan=plan,
            poll_interval=self.timing.poll_interval,
            hint=f"look again later; if {self.job_list} shows none, submit a new job",
            resend_policy=self._resend_policy,
        )

    @property
    def _resend_policy(self) -> RetryPolicy | None:
        return self.timing.retry_policy if self.resends_creation else None


class RemoteBackend(Backend):
    """A backend whose jobs run at a service, one paid job for one submission.

    Args:
        timing: How long calls and pauses may take.
    """

    client_package: ClassVar[str]
    """The module of the service's client, which the extra of the backend's name installs."""
    api_key: ClassVar[str]
    """The environment variable of the user's key."""
    api_key_hint: ClassVar[str]
    """How to get one."""

    def __init__(self, timing: Timeouts = Timeouts()) -> None:  # noqa: B008 - an immutable value
        self.timing = timing
        self.pause = timing.poll_interval

    @abstractmethod
    def connect(self) -> AbstractContextManager[RemoteService[Any]]:
        """The service, with the user's key, until the context ends."""

    def check(self) -> list[Problem]:
        """Whether the client is installed and the key is set."""
        problems = []
        if find_spec(self.client_package) is None:
            problems.append(Problem(self.client_package, "is not installed", f"pip install 'ftsdk[{self.name}]'"))
        if not os.environ.get(self.api_key):
            problems.append(Problem(self.api_key, "is not set", self.api_key_hint))
        return problems

    def submit(self, plan: Plan, token: str, record: Record) -> str:
        """Look for an earlier job, upload, create once."""
        with self.connect() as service:
            return service.submit(plan, token, record)

    def find(self, token: str, plan: Plan) -> str | None:
        """Look for the token in the service's list of jobs, where a creation may have been received."""
        with self.connect() as service:
            return service.find(plan, token)

    def status(self, native_id: str) -> JobStatus:
        """Ask the service for the job."""
        with self.connect() as service:
            return service.status(native_id)

    def events(self, native_id: str, after: str | None = None) -> Iterable[Event]:
        """States, metrics and lines of log so far."""
        with self.connect() as service:
            return list(service.events(native_id, after))

    def cancel(self, native_id: str) -> None:
        """Ask the job to stop; what it has run until then is paid."""
        with self.connect() as service:
            service.cancel(native_id)

    def fetch(self, native_id: str, folder: Path) -> Artifact:
        """Download what the job made."""
        with self.connect() as service:
            return service.fetch(native_id, folder)


def keep_newest(jobs: Sequence[ServiceJob], stop: Callable[[str], None]) -> str | None:
    """The one job of several with the same token that counts; None where there is none.

    That is the newest that is alive, else the newest that succeeded, else the newest. All others that are alive are
    stopped, because each of them is paid.
    """
    if not jobs:
        return None
    newest_first = sorted(jobs, key=lambda job: job.created, reverse=True)
    alive = [job for job in newest_first if not job.state.done]
    succeeded = [job for job in newest_first if job.state is JobState.SUCCEEDED]
    for duplicate in alive[1:]:  # only what is alive costs more; what has ended may have results that somebody wants
        stop(duplicate.native_id)
    return (alive or succeeded or newest_first)[0].native_id


def path_segment(native_id: str, service: str) -> str:
    """An id as a part of a path.

    Raises:
        JobNotFound: It is none: with other characters, the path could lead to another resource of the account.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]+", native_id):
        raise JobNotFound(f"{native_id!r} is no id of a job at {service}", hint="ftsdk jobs lists yours")
    return native_id
