"""Stay with a job while it goes on: wait for its end, and pass on its events."""

import time
from collections.abc import Callable, Iterator

from ftsdk.client.job_access import JobAccess
from ftsdk.errors import JobCancelled, JobFailed, JobNotReady, UnreachableError, WaitTimeout
from ftsdk.job_types import Event, JobState, JobStatus
from ftsdk.store.record import INTERRUPTED

_SHORTEST_PAUSE = 0.01  # seconds; no pause at all would keep a processor busy
_RAREST = 10  # times the pause between two looks; more would keep people waiting at the end of a job


def until_done(
    case: JobAccess, *, timeout: float | None, poll: float | None, on_event: Callable[[Event], object] | None = None
) -> JobStatus:
    """Look at a job again and again until it has succeeded.

    Args:
        case: The job.
        timeout: Seconds after which to give up. None: never.
        poll: Seconds between two looks; they become rarer while nothing changes. None: the backend's own.
        on_event: Is called with each event.

    Raises:
        JobFailed: With reason, evidence and the smallest change that helps.
        JobCancelled: It was cancelled.
        JobNotReady: Its submission broke off, so that nothing would happen by itself.
        WaitTimeout: The time is over; the job goes on.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    stream = _Stream(case)
    for status in _looks(case, poll, deadline):
        if on_event:
            for event in stream.news():
                on_event(event)
        if status.state is JobState.PENDING and status.stage == INTERRUPTED:
            raise JobNotReady(f"{case.ref}: {status.message}", ref=case.ref, hint=status.hint)
        if status.state.done:
            return _verdict(case.ref, status)
    raise WaitTimeout(f"{case.ref} was not done after {timeout:g} seconds", ref=case.ref, hint="the job goes on")


def follow_events(case: JobAccess, *, after: str | None, follow: bool, poll: float | None = None) -> Iterator[Event]:
    """The events of a job behind the cursor ``after``; with ``follow``, until it is done."""
    case.able("events")
    stream = _Stream(case, after, patient=follow)
    for status in _looks(case, poll, None):
        yield from stream.news()
        if status.state.done or not follow:
            return


def _looks(case: JobAccess, poll: float | None, deadline: float | None) -> Iterator[JobStatus]:
    """One status after the other, with pauses that grow while nothing changes; ends at the deadline."""
    pause, before = 0.0, None
    while True:
        status = case.look()
        yield status
        shortest = max(case.system.pause if poll is None else poll, _SHORTEST_PAUSE)
        pause = min(pause * 1.5, shortest * _RAREST) if status == before else shortest
        left = pause if deadline is None else deadline - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(pause, left))
        before = status


class _Stream:
    """The events of one job, each of them once.

    Args:
        case: The job.
        after: The cursor to begin behind.
        patient: Whether there will be another call, so that one without an answer is no error.
    """

    def __init__(self, case: JobAccess, after: str | None = None, *, patient: bool = True) -> None:
        self._case = case
        self._cursor = after
        self._patient = patient

    def news(self) -> Iterator[Event]:
        """What has happened since the last call."""
        case = self._case
        if case.native_id is None or "events" not in case.system.capabilities().verbs:
            return
        try:
            for event in case.system.events(case.native_id, self._cursor):
                self._cursor = event.cursor
                yield event
        except UnreachableError:
            if not self._patient:
                raise
            return  # the status carries the warning


def _verdict(ref: str, status: JobStatus) -> JobStatus:
    if status.state is JobState.CANCELLED:
        raise JobCancelled(f"{ref} was cancelled", ref=ref, hint=status.hint)
    if status.state is JobState.FAILED:
        reason = status.reason.value if status.reason else ""
        raise JobFailed(f"{ref}: {status}", ref=ref, reason=reason, evidence=status.message, hint=status.hint)
    return status
