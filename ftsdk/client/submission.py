"""Submit a job so that a crash at any point neither loses it nor makes it twice.

The record is durable before the backend is called. Whatever then goes wrong, the backend's ``find`` decides, by the
job's token, whether anything was created; where it cannot tell, the job is parked as ``unknown``, and nothing more is
created until it can.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ftsdk.backend import Backend, Plan, Record
from ftsdk.errors import (
    AmbiguousError,
    AuthError,
    BackendError,
    BackendNotFound,
    DataError,
    FtsdkError,
    InputError,
    JobNotReady,
    KeyMismatch,
    MissingExtra,
    RejectedError,
)
from ftsdk.identity import is_alive, mine
from ftsdk.job_types import JobState, JobStatus, Reason
from ftsdk.redact import redact
from ftsdk.store.record import INTERRUPTED, RESUMING, SUBMITTING, JobRecord, spec_hash

if TYPE_CHECKING:  # the database library is slow to import, and not everybody gets as far
    from ftsdk.store.store import Store

REFUSALS = (InputError, RejectedError, AuthError, BackendNotFound, MissingExtra)
"""Errors of a backend that leave no doubt: nothing was created."""


def submit(store: "Store", system: Backend, plan: Plan, key: str | None = None) -> JobRecord:
    """Record a job and send it; with a key that was used before, finish that submission instead.

    Raises:
        InputError: The key is no printable line.
        KeyMismatch: The key was used for another spec.
        AmbiguousError: It cannot be told whether the job was created; it is parked.
        FtsdkError: Why it was not created.
    """
    if key is not None and not (key and key.isprintable()):
        raise InputError("the submit key is empty or not printable", hint="take a word or a line, such as nightly-42")
    record, is_new = store.create(JobRecord.new(plan, key=key, submitter=mine()))
    if is_new:
        return _send(store, system, record)
    if record.spec_hash != spec_hash(plan):
        raise KeyMismatch(
            f"the key {key!r} belongs to the job {record.ref}, which has another spec",
            hint="use another key for another job",
        )
    record = settle(store, system, record)
    if record.native_id or in_hand(record) or record.state is JobState.CANCELLED:
        return record
    return finish(store, system, record)


def in_hand(record: JobRecord) -> bool:
    """Whether a living process is submitting or resuming the job at this moment."""
    at_it = record.state is JobState.PENDING and record.status.stage in (SUBMITTING, RESUMING)
    return at_it and record.submitter is not None and is_alive(record.submitter)


def settle(store: "Store", system: Backend, record: JobRecord) -> JobRecord:
    """Find out what became of a submission that nobody works on any more: adopted, interrupted, or parked."""
    if record.native_id or record.state.done or in_hand(record):
        return record
    try:
        native_id = system.find(record.token, _plan(record))
    except BackendError as error:
        return store.update(record.id, "parked", if_still(record, _parked(record, error)))
    if native_id:
        return _adopt(store, record, native_id)
    return store.update(record.id, INTERRUPTED, if_still(record, _interrupted(record)))


def finish(store: "Store", system: Backend, record: JobRecord) -> JobRecord:
    """Send a job that was never created over there, under the same token.

    Raises:
        JobNotReady: Another process is at it.
        AmbiguousError: It cannot be told whether it was created.
    """
    if record.state is JobState.UNKNOWN:
        raise AmbiguousError(f"{record.ref}: {record.status.message}", hint=record.status.hint)
    return _send(store, system, claim(store, record, SUBMITTING))


def claim(store: "Store", record: JobRecord, stage: str) -> JobRecord:
    """Take a job in hand, so that of two processes only one acts.

    Raises:
        JobNotReady: Another process has it in hand, or was faster.
    """

    def take(now: JobRecord) -> JobRecord:
        refuse_in_hand(now)
        if now.rev != record.rev:
            raise JobNotReady(f"{now.ref} was changed by another process just now", ref=now.ref, hint="look again")
        return now.but(
            status=JobStatus(state=JobState.PENDING, stage=stage),
            submitter=mine(),
            attempt=now.attempt + now.state.done,
        )

    return store.update(record.id, stage, take)


def refuse_in_hand(record: JobRecord) -> None:
    """Leave a job alone that another process has in hand.

    Raises:
        JobNotReady: One has.
    """
    if in_hand(record) and record.submitter:
        raise JobNotReady(
            f"the process {record.submitter.pid} is {record.status.stage} {record.ref} at this moment",
            ref=record.ref,
            hint="wait until it has done so",
        )


def failure(error: FtsdkError) -> JobStatus:
    """The status of a job that was refused."""
    reason = getattr(error, "reason", _REASONS.get(type(error), Reason.PROVIDER_ERROR))
    known = reason if reason in set(Reason) else Reason.PROVIDER_ERROR
    return JobStatus(
        state=JobState.FAILED, reason=Reason(known), message=redact(error.message), hint=redact(error.hint)
    )


_REASONS: dict[type[FtsdkError], Reason] = {AuthError: Reason.AUTH, DataError: Reason.DATA_ERROR}


def _send(store: "Store", system: Backend, record: JobRecord) -> JobRecord:
    """Submit a job that this process has in hand."""
    try:
        native_id = system.submit(_plan(record), record.token, _keeper(store, record))
    except REFUSALS as error:
        status = failure(error)
        store.update(record.id, "refused", lambda now: now.but(status=status))
        raise
    except BaseException as error:  # noqa: BLE001 - also Ctrl-C: the request may be on its way
        return _look_behind(store, system, record, error)
    return _adopt(store, record, native_id)


def _plan(record: JobRecord) -> Plan:
    """The recorded plan, with what earlier attempts to submit it kept."""
    return Plan.model_validate({**record.plan, "facts": record.facts})


def _keeper(store: "Store", record: JobRecord) -> Record:
    def keep(**facts: str) -> None:
        kept = {name: redact(value) for name, value in facts.items()}
        store.update(record.id, "facts", lambda now: now.but(facts={**now.facts, **kept}))

    return keep


def _look_behind(store: "Store", system: Backend, record: JobRecord, error: BaseException) -> JobRecord:
    """After a broken submission, let ``find`` tell what there is."""
    released = store.update(record.id, "broke off", lambda now: now.but(submitter=None))
    settled = settle(store, system, released)
    if settled.native_id and isinstance(error, Exception):
        store.note(record.id, "adopted after an error", {"error": type(error).__name__})
        return settled
    if isinstance(error, FtsdkError):
        error.hint = settled.status.hint or error.hint
    else:
        error.add_note(f"{settled.ref} is {settled.status}. {settled.status.hint}")
    raise error


def _adopt(store: "Store", record: JobRecord, native_id: str) -> JobRecord:
    status = JobStatus(state=JobState.QUEUED)
    return store.update(
        record.id, "created", lambda now: now if now.native_id else now.but(native_id=native_id, status=status)
    )


def _interrupted(record: JobRecord) -> JobStatus:
    return JobStatus(
        state=JobState.PENDING,
        stage=INTERRUPTED,
        message="its submission broke off before anything was created",
        hint=f"ftsdk resume {record.id}",
    )


def _parked(record: JobRecord, error: FtsdkError) -> JobStatus:
    return JobStatus(
        state=JobState.UNKNOWN,
        message=f"it cannot be told whether the job was created: {redact(error.message)}",
        hint=f"ftsdk status {record.id} looks again; nothing is created twice",
    )


def if_still(record: JobRecord, status: JobStatus) -> Callable[[JobRecord], JobRecord]:
    """Set the status, unless the record has changed since it was read."""
    return lambda now: now.but(status=status) if now.rev == record.rev else now
