"""Submit a job so that a crash at any point neither loses it nor makes it twice.

The record is durable before the backend is called. Whatever then goes wrong, the backend's ``find`` decides, by the
job's token, whether anything was created; where it cannot decide, the job is parked as ``unknown``, and nothing is
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
from ftsdk.job_types import JobState, JobStatus, Reason
from ftsdk.process_identity import current_process, is_alive
from ftsdk.redact import redact
from ftsdk.store.record import INTERRUPTED, RESUMING, SUBMITTING, JobRecord, spec_hash

if TYPE_CHECKING:  # the database library is slow to import, and some callers do not need it
    from ftsdk.store.store import Store

REFUSALS = (InputError, RejectedError, AuthError, BackendNotFound, MissingExtra)
"""Errors of a backend that leave no doubt: nothing was created."""


def submit(store: "Store", system: Backend, plan: Plan, key: str | None = None) -> JobRecord:
    """Record a job and send it; with a key that was used before, complete that submission instead.

    Raises:
        InputError: The key is no printable line.
        KeyMismatch: The key was used for another spec.
        AmbiguousError: It is not known whether the job was created; it is parked.
        FtsdkError: It was not created, with the reason.
    """
    if key is not None and not (key and key.isprintable()):
        raise InputError("the submit key is empty or not printable", hint="use a word or a line, such as nightly-42")
    record, is_new = store.create(JobRecord.new(plan, key=key, submitter=current_process()))
    if is_new:
        return _send(store, system, record)
    if record.spec_hash != spec_hash(plan):
        raise KeyMismatch(
            f"the key {key!r} belongs to the job {record.ref}, which has another spec",
            hint="use another key for another job",
        )
    record = resolve_submission(store, system, record)
    if record.native_id or is_claimed(record) or record.state is JobState.CANCELLED:
        return record
    return send_interrupted(store, system, record)


def is_claimed(record: JobRecord) -> bool:
    """Whether a live process is submitting or resuming the job right now."""
    claimed = record.state is JobState.PENDING and record.status.stage in (SUBMITTING, RESUMING)
    return claimed and record.submitter is not None and is_alive(record.submitter)


def resolve_submission(store: "Store", system: Backend, record: JobRecord) -> JobRecord:
    """Resolve a submission whose process has ended: adopted, interrupted, or parked."""
    if record.native_id or record.state.done or is_claimed(record):
        return record
    # Neither the error nor its absence says whether a job exists: a request may have arrived although its answer did
    # not, or the process may have died between the two. Only the backend's own list can tell, by the token.
    try:
        native_id = system.find(record.token, _plan(record))
    except BackendError as error:
        return store.update(record.id, "parked", set_status_if_unchanged(record, _parked_status(record, error)))
    if native_id:
        return _adopt(store, record, native_id)
    return store.update(record.id, INTERRUPTED, set_status_if_unchanged(record, _interrupted_status(record)))


def send_interrupted(store: "Store", system: Backend, record: JobRecord) -> JobRecord:
    """Send a job that was never created, under the same token.

    Raises:
        JobNotReady: Another process sends it.
        AmbiguousError: It is not known whether it was created.
    """
    if record.state is JobState.UNKNOWN:
        raise AmbiguousError(f"{record.ref}: {record.status.message}", hint=record.status.hint)
    return _send(store, system, claim(store, record, SUBMITTING))


def claim(store: "Store", record: JobRecord, stage: str) -> JobRecord:
    """Claim a job for this process, so that of two processes only one acts.

    Raises:
        JobNotReady: Another process has claimed it, or has changed it since it was read.
    """

    # The store runs this in a write transaction, on the record as it is at that moment. Both checks are needed: the
    # claim of a process that has died leaves no claim, but a new revision.
    def set_claim(current: JobRecord) -> JobRecord:
        refuse_claimed(current)
        if current.rev != record.rev:
            hint = f"ftsdk status {current.ref}"
            raise JobNotReady(f"{current.ref} was changed by another process just now", ref=current.ref, hint=hint)
        return current.replace(
            status=JobStatus(state=JobState.PENDING, stage=stage),
            submitter=current_process(),
            attempt=current.attempt + current.state.done,
        )

    return store.update(record.id, stage, set_claim)


def refuse_claimed(record: JobRecord) -> None:
    """Refuse to act on a job that a live process has claimed.

    Raises:
        JobNotReady: One has.
    """
    if is_claimed(record) and record.submitter:
        raise JobNotReady(
            f"the process {record.submitter.pid} is {record.status.stage} {record.ref} right now",
            ref=record.ref,
            hint="wait until it has finished",
        )


def failed_status(error: FtsdkError) -> JobStatus:
    """The status of a job that was refused."""
    reason = getattr(error, "reason", _REASONS.get(type(error), Reason.PROVIDER_ERROR))
    valid_reason = reason if reason in set(Reason) else Reason.PROVIDER_ERROR
    return JobStatus(
        state=JobState.FAILED, reason=Reason(valid_reason), message=redact(error.message), hint=redact(error.hint)
    )


_REASONS: dict[type[FtsdkError], Reason] = {AuthError: Reason.AUTH, DataError: Reason.DATA_ERROR}


def _send(store: "Store", system: Backend, record: JobRecord) -> JobRecord:
    """Submit a job that this process has claimed."""
    try:
        native_id = system.submit(_plan(record), record.token, _fact_recorder(store, record))
    except REFUSALS as error:
        status = failed_status(error)
        store.update(record.id, "refused", lambda current: current.replace(status=status))
        raise
    except BaseException as error:  # noqa: BLE001 - also Ctrl-C: the request may be on its way
        return _resolve_after_error(store, system, record, error)
    return _adopt(store, record, native_id)


def _plan(record: JobRecord) -> Plan:
    """The recorded plan, with the facts that earlier attempts recorded."""
    return Plan.model_validate({**record.plan, "facts": record.facts})


def _fact_recorder(store: "Store", record: JobRecord) -> Record:
    def record_facts(**facts: str) -> None:
        redacted = {name: redact(value) for name, value in facts.items()}
        store.update(record.id, "facts", lambda current: current.replace(facts={**current.facts, **redacted}))

    return record_facts


def _resolve_after_error(store: "Store", system: Backend, record: JobRecord, error: BaseException) -> JobRecord:
    """After an interrupted submission, let ``find`` decide what exists."""
    # The claim ends first: while this live process holds it, the submission would not be resolved.
    released = store.update(record.id, "broke off", lambda current: current.replace(submitter=None))
    resolved = resolve_submission(store, system, released)
    # Ctrl-C and the like go on to the caller, also where the job exists: it is recorded, and status finds it.
    if resolved.native_id and isinstance(error, Exception):
        store.note(record.id, "adopted after an error", {"error": type(error).__name__})
        return resolved
    if isinstance(error, FtsdkError):
        error.hint = resolved.status.hint or error.hint
    else:
        error.add_note(f"{resolved.ref} is {resolved.status}. {resolved.status.hint}")
    raise error


def _adopt(store: "Store", record: JobRecord, native_id: str) -> JobRecord:
    status = JobStatus(state=JobState.QUEUED)
    # Two processes may find the same job; the first native id stays, with the states that were observed since.
    return store.update(
        record.id,
        "created",
        lambda current: current if current.native_id else current.replace(native_id=native_id, status=status),
    )


def _interrupted_status(record: JobRecord) -> JobStatus:
    return JobStatus(
        state=JobState.PENDING,
        stage=INTERRUPTED,
        message="its submission was interrupted before anything was created",
        hint=f"ftsdk resume {record.id}",
    )


def _parked_status(record: JobRecord, error: FtsdkError) -> JobStatus:
    return JobStatus(
        state=JobState.UNKNOWN,
        message=f"it is not known whether the job was created: {redact(error.message)}",
        hint=f"ftsdk status {record.id} checks again; nothing is created twice",
    )


def set_status_if_unchanged(record: JobRecord, status: JobStatus) -> Callable[[JobRecord], JobRecord]:
    """A change for the store: set the status, unless the record has changed since it was read."""
    # Optimistic: no lock is held while a backend is asked, which may take minutes. A faster process knows more.
    return lambda current: current.replace(status=status) if current.rev == record.rev else current
