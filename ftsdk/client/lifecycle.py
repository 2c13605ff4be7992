"""What is done with a job that exists: observe it, cancel it, resume it."""

from typing import TYPE_CHECKING

from ftsdk.backend import Backend, Verb
from ftsdk.client.submission import REFUSALS, claim, finish, if_still, in_hand, refuse_in_hand, settle
from ftsdk.errors import AmbiguousError, BackendError, JobNotReady, UnreachableError
from ftsdk.job_types import JobState, JobStatus
from ftsdk.redact import redact
from ftsdk.store.record import RESUMING, JobRecord

if TYPE_CHECKING:  # the database library is slow to import, and not everybody gets as far
    from ftsdk.store.store import Store

_TEXTS = ("stage", "raw_status", "message", "hint")


def observe(store: "Store", system: Backend, record: JobRecord) -> JobRecord:
    """Ask the backend about a job, and keep what it says; a final state is not asked about again.

    When the backend cannot be reached, the record comes back as last known, with a warning.
    """
    if record.state.done or in_hand(record):
        return record
    if record.native_id is None:
        return settle(store, system, record)
    try:
        seen = system.status(record.native_id)
    except UnreachableError as error:
        return record.but(status=with_warning(record.status, f"as last known: {redact(error.message)}"))
    return _take_in(store, record, _without_secrets(seen))


def cancel(store: "Store", system: Backend, record: JobRecord) -> JobRecord:
    """Ask a job to stop; without effect on one that is done.

    Raises:
        JobNotReady: Another process is submitting or resuming it.
        AmbiguousError: It cannot be told whether it was created.
    """
    record = observe(store, system, record)
    if record.state.done:
        return record
    refuse_in_hand(record)
    if record.native_id is None:
        return _cancel_unsent(store, record)
    require(system, "cancel")
    system.cancel(record.native_id)
    return observe(store, system, store.update(record.id, "cancel", _cancelling))


def resume(store: "Store", system: Backend, record: JobRecord) -> JobRecord:
    """Go on with a job that failed or was cancelled, or send one whose submission broke off.

    Raises:
        JobNotReady: The job is in another state, or another process has it in hand.
        AmbiguousError: It cannot be told whether it was created.
        BackendError: The backend cannot resume.
    """
    record = observe(store, system, record)
    if record.native_id is None:
        return finish(store, system, record)
    refuse_in_hand(record)
    if record.state not in (JobState.FAILED, JobState.CANCELLED):
        raise JobNotReady(f"{record.ref} is {record.state.value}: there is nothing to resume", ref=record.ref)
    require(system, "resume")
    return _resume(store, system, claim(store, record, RESUMING), record)


def require(system: Backend, verb: Verb) -> None:
    """Refuse what the backend does not declare.

    Raises:
        BackendError: It does not declare the verb.
    """
    if verb not in system.capabilities().verbs:
        raise BackendError(
            f"the backend {system.name!r} cannot do this: {verb}", hint="ftsdk backends shows what each can do"
        )


def successor(old: JobStatus, new: JobStatus) -> JobStatus:
    """What is known after ``new`` was observed: a final state stays, and a job that shall stop runs on as such."""
    if old.state.done:
        return old
    if old.state is JobState.CANCELLING and new.state in (JobState.QUEUED, JobState.RUNNING):
        return new.model_copy(update={"state": JobState.CANCELLING})
    return new


def with_warning(status: JobStatus, warning: str) -> JobStatus:
    """The status with one more warning."""
    return status.model_copy(update={"warnings": (*status.warnings, warning)})


def _take_in(store: "Store", record: JobRecord, seen: JobStatus) -> JobRecord:
    if successor(record.status, seen) == record.status:
        return record

    def observed(now: JobRecord) -> JobRecord:
        stale = now.attempt != record.attempt  # it was resumed since the backend was asked
        return now if stale else now.but(status=successor(now.status, seen))

    now = store.update(record.id, "observed", observed)
    if now.state is not seen.state and now.state.done:
        store.note(record.id, "ignored", {"state": seen.state.value, "raw_status": seen.raw_status})
    return now


def _cancel_unsent(store: "Store", record: JobRecord) -> JobRecord:
    if record.state is JobState.UNKNOWN:
        raise AmbiguousError(f"{record.ref}: {record.status.message}", hint=record.status.hint)
    status = JobStatus(state=JobState.CANCELLED, message="it was never sent")
    return store.update(record.id, "cancelled", if_still(record, status))


def _cancelling(record: JobRecord) -> JobRecord:
    if record.state.done:
        return record
    return record.but(status=record.status.model_copy(update={"state": JobState.CANCELLING}))


def _resume(store: "Store", system: Backend, claimed: JobRecord, before: JobRecord) -> JobRecord:
    try:
        system.resume(before.native_id or "")
    except REFUSALS:
        store.update(claimed.id, "resume refused", lambda now: now.but(status=before.status, attempt=before.attempt))
        raise
    except BaseException:  # it may have begun: let the next observation tell
        store.update(claimed.id, "resume broke off", lambda now: now.but(submitter=None))
        raise
    return store.update(claimed.id, "resumed", lambda now: now.but(status=JobStatus(state=JobState.QUEUED)))


def _without_secrets(status: JobStatus) -> JobStatus:
    clean: dict[str, object] = {name: redact(getattr(status, name)) for name in _TEXTS}
    return status.model_copy(update={**clean, "warnings": tuple(redact(warning) for warning in status.warnings)})
