"""Observe, cancel and resume a job that is recorded."""

from typing import TYPE_CHECKING

from ftsdk.backend import Backend, Verb
from ftsdk.client.submission import (
    REFUSALS,
    claim,
    is_claimed,
    refuse_claimed,
    resolve_submission,
    send_interrupted,
    set_status_if_unchanged,
)
from ftsdk.errors import AmbiguousError, BackendError, JobNotReady, UnreachableError
from ftsdk.job_types import JobState, JobStatus
from ftsdk.redact import redact
from ftsdk.store.record import RESUMING, JobRecord

if TYPE_CHECKING:  # the database library is slow to import, and some callers do not need it
    from ftsdk.store.store import Store

_TEXTS = ("stage", "raw_status", "message", "hint")


def observe(store: "Store", system: Backend, record: JobRecord) -> JobRecord:
    """Ask the backend about a job, and store its answer; a final state is not asked about again.

    Where the backend cannot be reached, the record is the last known one, with a warning.
    """
    if record.state.done or is_claimed(record):
        return record
    if record.native_id is None:
        return resolve_submission(store, system, record)
    try:
        observation = system.status(record.native_id)
    except UnreachableError as error:
        return record.replace(status=with_warning(record.status, f"as last known: {redact(error.message)}"))
    return _store_observation(store, record, _without_secrets(observation))


def cancel(store: "Store", system: Backend, record: JobRecord) -> JobRecord:
    """Ask a job to stop; without effect on a finished one.

    Raises:
        JobNotReady: Another process is submitting or resuming it.
        AmbiguousError: It is not known whether it was created.
    """
    record = observe(store, system, record)
    if record.state.done:
        return record
    refuse_claimed(record)
    if record.native_id is None:
        return _cancel_unsent(store, record)
    require_verb(system, "cancel")
    system.cancel(record.native_id)
    return observe(store, system, store.update(record.id, "cancel", _as_cancelling))


def resume(store: "Store", system: Backend, record: JobRecord) -> JobRecord:
    """Continue a job that failed or was cancelled, or send one whose submission was interrupted.

    Raises:
        JobNotReady: The job is in another state, or another process has claimed it.
        AmbiguousError: It is not known whether it was created.
        BackendError: The backend cannot resume.
    """
    record = observe(store, system, record)
    if record.native_id is None:
        return send_interrupted(store, system, record)
    refuse_claimed(record)
    if record.state not in (JobState.FAILED, JobState.CANCELLED):
        raise JobNotReady(f"{record.ref} is {record.state.value}: there is nothing to resume", ref=record.ref)
    require_verb(system, "resume")
    return _resume(store, system, claim(store, record, RESUMING), record)


def require_verb(system: Backend, verb: Verb) -> None:
    """Refuse a verb that the backend does not declare.

    Raises:
        BackendError: It does not declare the verb.
    """
    if verb not in system.capabilities().verbs:
        raise BackendError(
            f"the backend {system.name!r} does not support this: {verb}", hint="ftsdk backends lists what each supports"
        )


def next_status(old: JobStatus, new: JobStatus) -> JobStatus:
    """The status after ``new`` was observed: a final state stays, and a job that was asked to stop is cancelling."""
    if old.state.done:
        return old
    if old.state is JobState.CANCELLING and new.state in (JobState.QUEUED, JobState.RUNNING):
        return new.model_copy(update={"state": JobState.CANCELLING})
    return new


def with_warning(status: JobStatus, warning: str) -> JobStatus:
    """The status with one more warning."""
    return status.model_copy(update={"warnings": (*status.warnings, warning)})


def _store_observation(store: "Store", record: JobRecord, observation: JobStatus) -> JobRecord:
    if next_status(record.status, observation) == record.status:
        return record

    def observed(current: JobRecord) -> JobRecord:
        # The job may have been resumed since the backend was asked; its answer is about the attempt before.
        stale = current.attempt != record.attempt
        return current if stale else current.replace(status=next_status(current.status, observation))

    current = store.update(record.id, "observed", observed)
    if current.state is not observation.state and current.state.done:
        store.note(record.id, "ignored", {"state": observation.state.value, "raw_status": observation.raw_status})
    return current


def _cancel_unsent(store: "Store", record: JobRecord) -> JobRecord:
    if record.state is JobState.UNKNOWN:
        raise AmbiguousError(f"{record.ref}: {record.status.message}", hint=record.status.hint)
    status = JobStatus(state=JobState.CANCELLED, message="it was never sent")
    return store.update(record.id, "cancelled", set_status_if_unchanged(record, status))


def _as_cancelling(record: JobRecord) -> JobRecord:
    if record.state.done:
        return record
    return record.replace(status=record.status.model_copy(update={"state": JobState.CANCELLING}))


def _resume(store: "Store", system: Backend, claimed: JobRecord, before: JobRecord) -> JobRecord:
    try:
        system.resume(before.native_id or "")
    except REFUSALS:
        store.update(
            claimed.id, "resume refused", lambda current: current.replace(status=before.status, attempt=before.attempt)
        )
        raise
    except BaseException:
        # The resume may have begun all the same. Without a submitter the next observation asks the backend.
        store.update(claimed.id, "resume broke off", lambda current: current.replace(submitter=None))
        raise
    return store.update(claimed.id, "resumed", lambda current: current.replace(status=JobStatus(state=JobState.QUEUED)))


def _without_secrets(status: JobStatus) -> JobStatus:
    texts: dict[str, object] = {name: redact(getattr(status, name)) for name in _TEXTS}
    return status.model_copy(update={**texts, "warnings": tuple(redact(warning) for warning in status.warnings)})
