"""Send a creation that costs money once, and find out whether it created a job.

None of the services knows an idempotency key: a request that is sent twice makes two jobs, and both are paid. So a
creation is recorded before it is sent. Where its answer leaves doubt, the service's list decides; where the list shows
nothing, the job is parked, because a list may lag behind.
"""

import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import NamedTuple

from ftsdk.backend import Plan, Record
from ftsdk.errors import AmbiguousError, BackendError
from ftsdk.remote.retries import RetryPolicy, is_unsent, poll, retry, status_code

_JOB = "job"
_CREATION = "creation"
_SENT_PREFIX = "sent at "
_REFUSED = "refused"
"""Names and values of stored facts: jobs submitted by older versions have them, too."""

NOT_CREATED = frozenset({400, 401, 402, 403, 404, 405, 406, 410, 411, 413, 414, 415, 422, 429, 431})
"""HTTP statuses that mean: nothing was created. All others leave doubt.

408, 409 and 425 are left out on purpose: gateways send them for requests that the service behind them still processes.
"""

FindJob = Callable[[], str | None]
"""Looks for the one job of this submission: its id, or None where the service does not show it now."""


class CreationState(StrEnum):
    """The outcome of a creation."""

    UNCONFIRMED = "unconfirmed"
    """It was sent and may have been received; no certain answer came."""
    REFUSED = "refused"
    """It is certain that nothing was created."""
    CREATED = "created"
    """The job's id is known."""


class CreationRecord(NamedTuple):
    """The last creation that was sent for a job, as the job's facts keep it."""

    state: CreationState
    sent_at: float | None = None
    """Seconds since 1970; None where it is not known."""
    job_id: str = ""
    """The service's id of the job, once it is created."""

    @classmethod
    def parse(cls, facts: Mapping[str, str]) -> "CreationRecord | None":
        """The record that a job's facts have; None where no creation was ever sent."""
        text = facts.get(_CREATION)
        sent_at = _parse_seconds(text.removeprefix(_SENT_PREFIX)) if text else None
        if job_id := facts.get(_JOB):
            return cls(CreationState.CREATED, sent_at, job_id)
        if text is None:
            return None
        # A text that cannot be read counts as sent: to take it for "nothing was sent" could pay for a second job.
        return cls(CreationState.REFUSED if text == _REFUSED else CreationState.UNCONFIRMED, sent_at)

    def facts(self) -> dict[str, str]:
        """The record as facts, for :class:`ftsdk.backend.Record`; the inverse of :meth:`parse`."""
        if self.state is CreationState.CREATED:
            return {_JOB: self.job_id}  # beside the time of sending, which is stored already
        return {_CREATION: _REFUSED if self.state is CreationState.REFUSED else f"{_SENT_PREFIX}{self.sent_at:.3f}"}


class IdempotentCreate(NamedTuple):
    """The creation of one submission's job."""

    service: str
    """The service's name, for messages."""
    plan: Plan
    """Its native request has ``on_ambiguous`` and ``settle_seconds``; its facts are those of earlier calls."""
    poll_interval: float
    """Seconds between two requests for the service's list."""
    hint: str
    """Where a user can look for the job."""
    resend_policy: RetryPolicy | None = None
    """How often a creation that was certainly not accepted is sent again. None: never."""

    def find(self, find_job: FindJob) -> str | None:
        """The id of the job that exists, or None where it is certain that there is none.

        Raises:
            AmbiguousError: A creation was sent, and no job shows up, or the list cannot be read.
        """
        creation = None if self.plan.facts is None else CreationRecord.parse(self.plan.facts)
        if creation is not None and creation.state is CreationState.CREATED:
            return creation.job_id
        if self.plan.facts is not None and (creation is None or creation.state is CreationState.REFUSED):
            return None
        try:
            job_id = find_job()
        except BackendError as error:  # also where the key is refused now: a job may run and cost
            raise AmbiguousError(f"a creation was sent to {self.service}; {error.message}", hint=error.hint) from error
        # Without facts (the record is lost), it is unknown whether a creation was ever sent: the list alone decides.
        if job_id or creation is None or self._may_recreate(creation):
            return job_id
        raise self._ambiguous()

    def create(
        self, send: FindJob, find_job: FindJob, record: Record, map_error: Callable[[Exception], BaseException]
    ) -> str:
        """Create the job, and return its id.

        Args:
            send: Sends the creation once; None: an answer that names no job. Its errors are the client's own.
            find_job: Looks for the job in the service's list.
            record: Keeps what was done.
            map_error: Gives our error for one of the client's, after which nothing was created.

        Raises:
            AmbiguousError: It is unknown whether there is a job.
        """
        for _ in range(2 if self._recreates else 1):
            # Written before the request leaves: a crash from here on is read as "a job may exist".
            record(**CreationRecord(CreationState.UNCONFIRMED, time.time()).facts())
            try:
                job_id = self._send(send)
            except Exception as error:  # whatever it is, the service may have read the request
                if is_unsent(error) or status_code(error) in NOT_CREATED:
                    record(**CreationRecord(CreationState.REFUSED).facts())
                    raise map_error(error) from error
                job_id = None
            # The second creation is sent only where the list has shown no job for ``settle_seconds``.
            if job_id := job_id or self._wait_for_job(find_job):
                record(**CreationRecord(CreationState.CREATED, job_id=job_id).facts())
                return job_id
        raise self._ambiguous()

    @property
    def _recreates(self) -> bool:
        """Whether the user accepts to pay twice rather than have a job parked."""
        return bool(self.plan.native["on_ambiguous"] == "recreate")

    def _send(self, send: FindJob) -> str | None:
        """Send the creation; again only where the service certainly did not accept it."""
        if self.resend_policy is None:
            return send()
        # The list is not read between these sends: a service that refuses with 429 has created nothing.
        return retry(send, self.resend_policy, is_retryable=_was_not_accepted)

    def _wait_for_job(self, find_job: FindJob) -> str | None:
        """Read the list until ``settle_seconds`` are over; an error meanwhile decides nothing."""

        def find_quietly() -> str | None:
            try:
                return find_job()
            except BackendError:
                return None

        job_ids = poll(find_quietly, self.poll_interval, self.plan.native["settle_seconds"])
        return next((job_id for job_id in job_ids if job_id), None)

    def _may_recreate(self, creation: CreationRecord) -> bool:
        """Whether the user has asked for a second creation, and the first has had its time to show up."""
        if not self._recreates or creation.sent_at is None:
            return False
        return time.time() - creation.sent_at > float(self.plan.native["settle_seconds"])

    def _ambiguous(self) -> AmbiguousError:
        return AmbiguousError(
            f"a creation was sent to {self.service}, no certain answer came, and its list does not show the job (yet)",
            hint=self.hint,
        )


def _was_not_accepted(error: BaseException) -> bool:
    """Whether the same creation may be sent again: it did not leave, or was refused for the moment."""
    return is_unsent(error) or status_code(error) == 429


def _parse_seconds(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
