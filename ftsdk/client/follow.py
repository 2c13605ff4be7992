"""Follow a job: wait for its end, and pass on its events."""

import time
from collections.abc import Callable, Iterator

from ftsdk.client.job_access import JobAccess
from ftsdk.errors import JobCancelled, JobFailed, JobNotReady, UnreachableError, WaitTimeout
from ftsdk.job_types import Event, JobState, JobStatus
from ftsdk.store.record import INTERRUPTED

_SHORTEST_PAUSE = 0.01
"""Seconds; without any pause, the loop would keep a processor busy."""
_LONGEST_PAUSE_FACTOR = 10
"""Times the first pause; longer ones would delay the notice that the job has ended."""


def wait_until_done(
    access: JobAccess, *, timeout: float | None, poll: float | None, on_event: Callable[[Event], object] | None = None
) -> JobStatus:
    """Poll a job until it has succeeded.

    Args:
        access: The job.
        timeout: Seconds after which to give up. None: never.
        poll: Seconds between two requests; they become rarer while nothing changes. None: the backend's own.
        on_event: Is called with each event.

    Raises:
        JobFailed: With reason, evidence and the smallest change that helps.
        JobCancelled: It was cancelled.
        JobNotReady: Its submission was interrupted, so waiting would never end.
        WaitTimeout: The timeout has passed; the job goes on.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    stream = _EventStream(access)
    for status in _observations(access, poll, deadline):
        if on_event:
            for event in stream.new_events():
                on_event(event)
        if status.state is JobState.PENDING and status.stage == INTERRUPTED:
            raise JobNotReady(f"{access.ref}: {status.message}", ref=access.ref, hint=status.hint)
        if status.state.done:
            return _check_success(access.ref, status)
    raise WaitTimeout(f"{access.ref} was not done after {timeout:g} seconds", ref=access.ref, hint="the job goes on")


def follow_events(access: JobAccess, *, after: str | None, follow: bool, poll: float | None = None) -> Iterator[Event]:
    """The events of a job after a cursor; with ``follow``, until it is done."""
    access.require_verb("events")
    stream = _EventStream(access, after, ignore_outages=follow)
    for status in _observations(access, poll, None):
        yield from stream.new_events()
        if status.state.done or not follow:
            return


def _observations(access: JobAccess, poll: float | None, deadline: float | None) -> Iterator[JobStatus]:
    """The job's status again and again, with pauses that grow while nothing changes; ends at the deadline."""
    pause, previous = 0.0, None
    while True:
        status = access.observe()
        yield status
        shortest = max(access.system.pause if poll is None else poll, _SHORTEST_PAUSE)
        pause = min(pause * 1.5, shortest * _LONGEST_PAUSE_FACTOR) if status == previous else shortest
        remaining = pause if deadline is None else deadline - time.monotonic()
        if remaining <= 0:
            return
        time.sleep(min(pause, remaining))
        previous = status


class _EventStream:
    """The events of one job, each of them once.

    Args:
        access: The job.
        after: The cursor to start after.
        ignore_outages: Whether an unreachable backend is no error, because there will be another call.
    """

    def __init__(self, access: JobAccess, after: str | None = None, *, ignore_outages: bool = True) -> None:
        self._access = access
        self._cursor = after
        self._ignore_outages = ignore_outages

    def new_events(self) -> Iterator[Event]:
        """The events since the last call."""
        access = self._access
        if access.native_id is None or "events" not in access.system.capabilities().verbs:
            return
        try:
            for event in access.system.events(access.native_id, self._cursor):
                self._cursor = event.cursor
                yield event
        except UnreachableError:
            if not self._ignore_outages:
                raise
            return  # the status carries the warning


def _check_success(ref: str, status: JobStatus) -> JobStatus:
    if status.state is JobState.CANCELLED:
        raise JobCancelled(f"{ref} was cancelled", ref=ref, hint=status.hint)
    if status.state is JobState.FAILED:
        reason = status.reason.value if status.reason else ""
        raise JobFailed(f"{ref}: {status}", ref=ref, reason=reason, evidence=status.message, hint=status.hint)
    return status
