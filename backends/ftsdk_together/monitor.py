"""Report where a job is and what has happened to it, also where Together restarted it under another id."""

import heapq
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from ftsdk.errors import JobNotFound
from ftsdk.job_types import Event, JobState, JobStatus
from ftsdk.redact import redact
from ftsdk.remote.backend import ServiceJob
from ftsdk.remote.timestamps import epoch_seconds, parse_timestamp
from ftsdk_together.api import Json, TogetherApi
from ftsdk_together.states import EVENT_STATES, HINTS, metrics_of, reason_of, state_of
from ftsdk_together.submit import has_token

_JOB_ID = re.compile(r"\bft-[A-Za-z0-9][A-Za-z0-9-]*")
_OUR_TOKEN = re.compile(r"-([a-z2-7]{26})$")
_MOST_RESTARTS = 10
_WARNING_EVENTS = frozenset({"warning", "billing_limit"})
_WARNING_LEVELS = frozenset({"warning", "error", "legacy_iwarning", "legacy_ierror"})
_CURSOR = re.compile(r"(\d{1,9})\.(\d{1,9})")


class OutputId(NamedTuple):
    """A native id: a job, and perhaps one of its outputs: ``ft-1``, ``ft-1:20``, ``ft-1:merged``."""

    job_id: str
    output: str = ""
    """A checkpoint's step, ``adapter`` or ``merged``; empty for the job's own result."""

    @classmethod
    def parse(cls, native_id: str) -> "OutputId":
        """Read a native id.

        Raises:
            JobNotFound: It is none.
        """
        job_id, colon, output = native_id.partition(":")
        if colon and not re.fullmatch(r"\d{1,9}|adapter|merged", output):
            hint = "give ID, ID:STEP, ID:adapter or ID:merged"
            raise JobNotFound(f"{native_id!r} names no output of a job at Together", hint=hint)
        return cls(job_id, output)


def restart_chain(api: TogetherApi, native_id: str) -> list[Json]:
    """The job, and those that Together restarted it as, under new ids; the last one counts.

    Raises:
        JobNotFound: There is no such job.
    """
    jobs = [api.job(OutputId.parse(native_id).job_id)]
    while len(jobs) <= _MOST_RESTARTS and (successor := _successor(api, jobs)):
        jobs.append(successor)
    return jobs


def status(api: TogetherApi, native_id: str) -> JobStatus:
    """Where the job is now."""
    job = restart_chain(api, native_id)[-1]
    word = str(job.get("status") or "")
    state = state_of(word)
    evidence = _evidence(_events_of(api, job)) if state in (JobState.FAILED, JobState.CANCELLED) else ""
    reason = reason_of(word, evidence)
    step, total = _count(job, "steps_completed"), _count(job, "total_steps")
    progress = job.get("progress") if isinstance(job.get("progress"), dict) else {}
    return JobStatus(
        state=state,
        stage="" if state.done else word.lower(),
        raw_status=word,
        reason=reason,
        message=evidence,
        hint=HINTS.get(reason, "") if reason else "",
        step=min(step, total) if step is not None and total else step,
        total_steps=total,
        progress=1.0 if state is JobState.SUCCEEDED else min(step / total, 1.0) if step is not None and total else None,
        eta_seconds=_eta(progress or {}, state),
    )


def events(api: TogetherApi, native_id: str, after: str | None) -> Iterator[Event]:
    """What has happened so far, events and metrics together by time, behind a cursor.

    A cursor counts the events and the rows of metrics that lie before it.
    """
    event_count, row_count = _parse_cursor(after)
    jobs = restart_chain(api, native_id)
    entries = [event for job in jobs for event in _events_of(api, job)][event_count:]
    rows = [row for job in jobs for row in sorted(api.metrics(str(job["id"])), key=_row_time)][row_count:]
    streams = (
        ((time_, 0, event) for time_, event in _in_order(entries, _event_time)),
        ((time_, 1, row) for time_, row in _in_order(rows, _row_time)),
    )
    # Without the streams' numbers in the key, two entries of one time could change places between two calls, and a
    # cursor between them would skip one and repeat the other.
    for time_, is_row, entry in heapq.merge(*streams, key=lambda timed: timed[:2]):
        event_count, row_count = event_count + (1 - is_row), row_count + is_row
        convert = _metrics_event if is_row else _event
        yield convert(entry, f"{event_count}.{row_count}", time_)


def observe(api: TogetherApi, native_id: str) -> ServiceJob:
    """The job, or the last one that Together restarted it as."""
    job = restart_chain(api, native_id)[-1]
    return ServiceJob(str(job["id"]), state_of(str(job.get("status") or "")), str(job.get("created_at")))


def last_metrics(rows: Iterable[Json]) -> dict[str, float]:
    """The last value of each metric."""
    return {name: value for row in sorted(rows, key=_row_time) for name, value in metrics_of(row).items()}


def _successor(api: TogetherApi, jobs: list[Json]) -> Json | None:
    """The job that Together restarted the last one as, after a fault of its own: by an event, or by the same token."""
    job, earlier_ids = jobs[-1], {str(job["id"]) for job in jobs}
    if state_of(str(job.get("status") or "")) not in (JobState.FAILED, JobState.CANCELLED):
        return None
    for event in _events_of(api, job):
        if _kind(event) == "job_restarted":
            job_ids = [job_id for job_id in _JOB_ID.findall(str(event.get("message"))) if job_id not in earlier_ids]
            return api.job(job_ids[-1]) if job_ids else _newest_with_same_token(api, job, earlier_ids)
    return None


def _newest_with_same_token(api: TogetherApi, job: Json, earlier_ids: set[str]) -> Json | None:
    # The suffix is read from the list, because a single job is described without it.
    jobs = api.jobs()
    suffixes = [str(entry.get("suffix") or "") for entry in jobs if entry.get("id") == job["id"]]
    match = _OUR_TOKEN.search(next(iter(suffixes), ""))
    if not match:
        return None
    successors = [entry for entry in jobs if has_token(entry, match[1]) and entry.get("id") not in earlier_ids]
    newest = max(successors, key=lambda entry: str(entry.get("created_at")), default=None)
    return None if newest is None else api.job(str(newest["id"]))


def _events_of(api: TogetherApi, job: Json) -> list[Json]:
    """A job's events, the oldest first; of two at one time, in the order in which they come."""
    events_ = api.events(str(job["id"]))
    # No order is promised. Where the newest comes first, sorting alone would leave events of one second reversed.
    if len(events_) > 1 and _event_time(events_[0]) > _event_time(events_[-1]):
        events_.reverse()
    return sorted(events_, key=_event_time)


def _evidence(events_: list[Json]) -> str:
    """The message of the last event about an error, or about money."""
    bad = [
        event
        for event in events_
        if str(event.get("level") or "").lower() in ("error", "legacy_ierror")
        or _kind(event) in ("job_error", "job_user_error", "user_error", "billing_limit")
    ]
    return redact(str(bad[-1].get("message") or "")) if bad else ""


def _event(event: Json, cursor: str, time_: float) -> Event:
    kind, state = _kind(event), EVENT_STATES.get(_kind(event))
    level = str(event.get("level") or "").lower()
    is_warning = kind in _WARNING_EVENTS or level in _WARNING_LEVELS
    step = event.get("step")
    return Event(
        cursor=cursor,
        time=time_,
        kind="state" if state else "checkpoint" if kind == "checkpoint_save" else "warning" if is_warning else "log",
        message=redact(str(event.get("message") or "")),
        state=state,
        step=step if isinstance(step, int) and step > 0 else None,
    )


def _metrics_event(row: Json, cursor: str, time_: float) -> Event:
    step = row.get("train/global_step")
    return Event(
        cursor=cursor,
        time=time_,
        kind="metrics",
        step=int(step) if isinstance(step, int | float) else None,
        metrics=metrics_of(row),
    )


def _in_order(entries: list[Json], clock: Callable[[Json], float]) -> Iterator[tuple[float, Json]]:
    """Each entry with its time, which never goes back."""
    latest = 0.0
    for entry in entries:
        latest = max(latest, clock(entry))
        yield latest, entry


def _event_time(event: Json) -> float:
    text = str(event.get("created_at") or "")
    is_number = text.replace(".", "", 1).isdecimal()
    return float(text) if is_number and not parse_timestamp(text) else epoch_seconds(text)


def _row_time(row: Json) -> float:
    """Together counts nanoseconds."""
    stamp = row.get("timestamp")
    return stamp / 1e9 if isinstance(stamp, int | float) and not isinstance(stamp, bool) else 0.0


def _kind(event: Json) -> str:
    return str(event.get("type") or "").lower()


def _count(job: Json, name: str) -> int | None:
    value = job.get(name)
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 else None


def _eta(progress: Json, state: JobState) -> float | None:
    """Seconds, where Together estimates them and the job runs."""
    seconds = progress.get("seconds_remaining")
    is_estimated = state is JobState.RUNNING and progress.get("estimate_available") and isinstance(seconds, int | float)
    return float(seconds) if is_estimated and seconds is not None and seconds >= 0 else None


def _parse_cursor(cursor: str | None) -> tuple[int, int]:
    match = _CURSOR.fullmatch(cursor or "0.0")
    return (int(match[1]), int(match[2])) if match else (0, 0)
