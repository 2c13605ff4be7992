"""The verbs: plan, submit, status, wait, events, logs, cancel, resume, fetch, jobs."""

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftsdk.artifact import Artifact
from ftsdk.backend import Plan
from ftsdk.client import planning, submission
from ftsdk.client.follow import follow_events, wait_until_done
from ftsdk.client.job_access import JobAccess, find_job
from ftsdk.client.output_folder import prepared
from ftsdk.client.planning import SpecLike
from ftsdk.errors import JobNotReady
from ftsdk.job_types import Event, JobRef, JobStatus
from ftsdk.store.record import JobSummary

if TYPE_CHECKING:
    from ftsdk.store.store import Store

__all__ = [
    "Client",
    "Job",
    "SpecLike",
    "cancel",
    "events",
    "fetch",
    "job",
    "jobs",
    "logs",
    "plan",
    "resume",
    "status",
    "submit",
    "wait",
]


class Job:
    """A handle on one submitted job; it prints as its reference."""

    def __init__(self, client: "Client", ref: str, job_id: str) -> None:
        self._client = client
        self.ref = ref
        """``backend:native-id``, such as ``local:sft-7f3k2m``: it finds the job from any process."""
        self.id = job_id
        """Its short name in the records here."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _handle, (self.ref, self.id)

    def __str__(self) -> str:
        return self.ref

    def __repr__(self) -> str:
        return f"<Job {self.ref}>"

    def status(self) -> JobStatus:
        """See :meth:`Client.status`."""
        return self._client.status(self)

    def wait(
        self,
        *,
        timeout: float | None = None,
        poll: float | None = None,
        on_event: Callable[[Event], object] | None = None,
    ) -> JobStatus:
        """See :meth:`Client.wait`."""
        return self._client.wait(self, timeout=timeout, poll=poll, on_event=on_event)

    def events(self, after: str | None = None, follow: bool = False) -> Iterator[Event]:
        """See :meth:`Client.events`."""
        return self._client.events(self, after, follow)

    def logs(self, follow: bool = False) -> Iterator[str]:
        """See :meth:`Client.logs`."""
        return self._client.logs(self, follow)

    def cancel(self) -> JobStatus:
        """See :meth:`Client.cancel`."""
        return self._client.cancel(self)

    def resume(self) -> "Job":
        """See :meth:`Client.resume`."""
        return self._client.resume(self)

    def fetch(self, folder: str | Path, *, force: bool = False) -> Artifact:
        """See :meth:`Client.fetch`."""
        return self._client.fetch(self, folder, force=force)


Ref = str | JobRef | Job
"""What names a job: ``"local:sft-7f3k2m"``, a bare id, a :class:`JobRef` or a :class:`Job`."""


class Client:
    """All verbs on one store of job records; the functions of this module are those of a client with the usual store.

    Args:
        store: The records. None: those that ``FTSDK_DATABASE_URL`` or ``FTSDK_HOME`` name.
    """

    def __init__(self, store: "Store | None" = None) -> None:
        if store is not None:
            self.store = store

    @cached_property
    def store(self) -> "Store":
        """The job records, opened when they are first needed."""
        from ftsdk.store.store import Store  # noqa: PLC0415 - a database library, which a plan does not need

        return Store()

    def plan(self, spec: SpecLike, *, backend: str | None = None, strict: bool = False) -> Plan:
        """The exact request that ``submit`` would send, and how every field is used; nothing is sent or spent.

        Args:
            spec: A spec, its fields, or a file with it.
            backend: The backend. None: from the environment, the spec or the configuration, else ``local``.
            strict: Refuse advice that would be ignored.

        Raises:
            SpecError: The spec is wrong, or the backend cannot honour it (``UnsupportedSpec``).
            DataError: The rows are wrong.
            BackendError: The backend is not installed, or not usable.
        """
        return planning.draft(spec, backend=backend, strict=strict)[1]

    def submit(
        self, spec: SpecLike, *, backend: str | None = None, key: str | None = None, strict: bool = False
    ) -> Job:
        """Plan a job, record it, send it, and return at once; the job outlives this process.

        Args:
            spec: As for :meth:`plan`.
            backend: As for :meth:`plan`.
            key: Your own name for this submission: the same key never makes a second job.
            strict: As for :meth:`plan`.

        Raises:
            KeyMismatch: The key was used for another spec.
            AmbiguousError: It is not known whether the job was created; ``status`` checks again.
            FtsdkError: As for :meth:`plan`, or the backend refused.
        """
        system, plan = planning.draft(spec, backend=backend, strict=strict)
        record = submission.submit(self.store, system, plan, key)
        return Job(self, record.ref, record.id)

    def job(self, ref: Ref) -> Job:
        """The handle of a job, by its reference.

        Raises:
            JobNotFound: No job with this id is recorded here.
        """
        access = self._access(ref)
        return Job(self, access.ref, access.id)

    def jobs(self, *, limit: int | None = None) -> list[JobSummary]:
        """All jobs recorded here, the newest first, in their last observed state."""
        return self.store.summaries(limit)

    def status(self, ref: Ref) -> JobStatus:
        """The job's present status; the last known one, with a warning, where its backend cannot be reached.

        Raises:
            JobNotFound: Neither the records nor the backend know the job.
        """
        return self._access(ref).observe()

    def wait(
        self,
        ref: Ref,
        *,
        timeout: float | None = None,
        poll: float | None = None,
        on_event: Callable[[Event], object] | None = None,
    ) -> JobStatus:
        """Return when the job has succeeded.

        Args:
            ref: The job.
            timeout: Seconds after which to give up; the job goes on. None: never.
            poll: Seconds between two requests; they become rarer while nothing changes. None: the backend's own.
            on_event: Is called with each event.

        Raises:
            JobFailed: With reason, evidence, and the smallest change that helps.
            JobCancelled: It was cancelled.
            JobNotReady: Its submission was interrupted; resume it.
            WaitTimeout: The timeout has passed; the job goes on.
        """
        return wait_until_done(self._access(ref), timeout=timeout, poll=poll, on_event=on_event)

    def events(self, ref: Ref, after: str | None = None, follow: bool = False) -> Iterator[Event]:
        """What has happened to the job, in order.

        Args:
            ref: The job.
            after: The cursor of the last event that you have.
            follow: Continue until the job is done.

        Raises:
            BackendError: The backend has no events.
        """
        return follow_events(self._access(ref), after=after, follow=follow)

    def logs(self, ref: Ref, follow: bool = False) -> Iterator[str]:
        """The job's lines of log; with ``follow``, until it is done."""
        return (event.message for event in self.events(ref, follow=follow) if event.kind == "log")

    def cancel(self, ref: Ref) -> JobStatus:
        """Ask the job to stop; safe to repeat, without effect on a finished job.

        Raises:
            JobNotReady: Another process is submitting it right now.
            BackendError: The backend cannot cancel.
        """
        return self._access(ref).cancel()

    def resume(self, ref: Ref) -> Job:
        """Continue a job that failed or was cancelled, or send one whose submission was interrupted.

        Raises:
            JobNotReady: There is nothing to resume, or another process resumes it.
            AmbiguousError: It is not known whether the job was created.
            BackendError: The backend cannot resume.
        """
        access = self._access(ref)
        access.resume()
        return Job(self, access.ref, access.id)

    def fetch(self, ref: Ref, folder: str | Path, *, force: bool = False) -> Artifact:
        """Put the job's artifact into a folder, verified; safe to repeat.

        Args:
            ref: The job.
            folder: Missing, empty, or holding this artifact already.
            force: Rename a folder that is in the way.

        Raises:
            JobNotReady: The job has no artifact yet.
            ArtifactError: The artifact is damaged, or the folder is in use; the folder is unchanged.
        """
        access = self._access(ref)
        status = access.observe()
        if access.native_id is None or not status.state.done:
            raise JobNotReady(f"{access.ref} is {status}: there is nothing to fetch yet", ref=access.ref)
        with prepared(Path(folder), force=force) as target:
            return access.require_verb("fetch").fetch(access.native_id, target)

    def _access(self, ref: Ref) -> JobAccess:
        return find_job(self.store, str(ref))


# One client for each call: it costs nothing, and follows FTSDK_HOME when that changes.


def plan(spec: SpecLike, *, backend: str | None = None, strict: bool = False) -> Plan:
    """See :meth:`Client.plan`."""
    return Client().plan(spec, backend=backend, strict=strict)


def submit(spec: SpecLike, *, backend: str | None = None, key: str | None = None, strict: bool = False) -> Job:
    """See :meth:`Client.submit`."""
    return Client().submit(spec, backend=backend, key=key, strict=strict)


def job(ref: Ref) -> Job:
    """See :meth:`Client.job`."""
    return Client().job(ref)


def jobs(*, limit: int | None = None) -> list[JobSummary]:
    """See :meth:`Client.jobs`."""
    return Client().jobs(limit=limit)


def status(ref: Ref) -> JobStatus:
    """See :meth:`Client.status`."""
    return Client().status(ref)


def wait(
    ref: Ref,
    *,
    timeout: float | None = None,
    poll: float | None = None,
    on_event: Callable[[Event], object] | None = None,
) -> JobStatus:
    """See :meth:`Client.wait`."""
    return Client().wait(ref, timeout=timeout, poll=poll, on_event=on_event)


def events(ref: Ref, after: str | None = None, follow: bool = False) -> Iterator[Event]:
    """See :meth:`Client.events`."""
    return Client().events(ref, after, follow)


def logs(ref: Ref, follow: bool = False) -> Iterator[str]:
    """See :meth:`Client.logs`."""
    return Client().logs(ref, follow)


def cancel(ref: Ref) -> JobStatus:
    """See :meth:`Client.cancel`."""
    return Client().cancel(ref)


def resume(ref: Ref) -> Job:
    """See :meth:`Client.resume`."""
    return Client().resume(ref)


def fetch(ref: Ref, folder: str | Path, *, force: bool = False) -> Artifact:
    """See :meth:`Client.fetch`."""
    return Client().fetch(ref, folder, force=force)


def _handle(ref: str, job_id: str) -> Job:
    """Unpickle a handle, on the records that this process uses."""
    return Job(Client(), ref, job_id)
