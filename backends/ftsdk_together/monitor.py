"""Tell where a job is and what has happened to it, also when Together went on with it under another id."""

import heapq
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from ftsdk.errors import JobNotFound
from ftsdk.job_types import Event, JobState, JobStatus
from ftsdk.redact import redact
from ftsdk.remote.backend import RemoteJob
from ftsdk.remote.timestamps import epoch_seconds, parse_timestamp
from ftsdk_together.api import Json, TogetherApi
from ftsdk_together.states import EVENT_STATES, HINTS, metrics_of, reason_of, state_of
from ftsdk_together.submit import bears

_JOB_ID = re.compile(r"\bft-[A-Za-z0-9][A-Za-z0-9-]*")
_OUR_TOKEN = re.compile(r"-([a-z2-7]{26})$")
_MOST_RESTARTS = 10
_CURSOR = re.compile(r"(\d{1,9})\.(\d{1,9})")


class Wanted(NamedTuple):
    """What a native id names: a job, and perhaps a part of what it made: ``ft-1``, ``ft-1:20``, ``ft-1:merged``."""

    job_id: str
    part: str = ""
    """A checkpoint's step, ``adapter`` or ``merged``; empty for what the job is about."""

    @classmethod
    def parse(cls, native_id: str) -> "Wanted":
        """Read a native id.

        Raises:
            JobNotFound: It is none.
        """
        job_id, colon, part = native_id.partition(":")
        if colon and not re.fullmatch(r"\d{1,9}|adapter|merged", part):
            hint = "give ID, ID:STEP, ID:adapter or ID:merged"
            raise JobNotFound(f"{native_id!r} names no part of a job of Together's", hint=hint)
        return cls(job_id, part)


def chain(api: TogetherApi, native_id: str) -> list[Json]:
    """The job, and those that Together restarted it as; the last one counts.

    Raises:
        JobNotFound: There is no such job.
    """
    jobs = [api.job(Wanted.parse(native_id).job_id)]
    while len(jobs) <= _MOST_RESTARTS and (following := _restarted(api, jobs)):
        jobs.append(following)
    return jobs


def status(api: TogetherApi, native_id: str) -> JobStatus:
    """Where the job is now."""
    job = chain(api, native_id)[-1]
    word = str(job.get("status") or "")
    state = state_of(word)
    evidence = _evidence(_happenings(api, job)) if state in (JobState.FAILED, JobState.CANCELLED) else ""
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
    seen, measured = _place(after)
    jobs = chain(api, native_id)
    told = [event for job in jobs for event in _happenings(api, job)][seen:]
    rows = [row for job in jobs for row in sorted(api.metrics(str(job["id"])), key=_logged_at)][measured:]
    streams = (
        ((time_, 0, event) for time_, event in _in_order(told, _happened_at)),
        ((time_, 1, row) for time_, row in _in_order(rows, _logged_at)),
    )
    for time_, is_row, entry in heapq.merge(*streams, key=lambda item: item[:2]):
        seen, measured = seen + (1 - is_row), measured + is_row
        made = _metrics_event if is_row else _event
        yield made(entry, f"{seen}.{measured}", time_)


def observe(api: TogetherApi, native_id: str) -> RemoteJob:
    """The job, or the last one that Together restarted it as."""
    job = chain(api, native_id)[-1]
    return RemoteJob(str(job["id"]), state_of(str(job.get("status") or "")), str(job.get("created_at")))


def last_metrics(rows: Iterable[Json]) -> dict[str, float]:
    """The last value of each metric."""
    return {name: value for row in sorted(rows, key=_logged_at) for name, value in metrics_of(row).items()}


def _restarted(api: TogetherApi, jobs: list[Json]) -> Json | None:
    """The job that Together made of one that failed by its own fault: named in an event, or with the same token."""
    job, known = jobs[-1], {str(job["id"]) for job in jobs}
    if state_of(str(job.get("status") or "")) not in (JobState.FAILED, JobState.CANCELLED):
        return None
    for event in _happenings(api, job):
        if _kind(event) == "job_restarted":
            named = [found for found in _JOB_ID.findall(str(event.get("message"))) if found not in known]
            return api.job(named[-1]) if named else _with_same_token(api, job, known)
    return None


def _with_same_token(api: TogetherApi, job: Json, known: set[str]) -> Json | None:
    """The newest job of the list that carries the same token of ours."""
    listed = api.jobs()
    names = [str(entry.get("suffix") or "") for entry in listed if entry.get("id") == job["id"]]
    found = _OUR_TOKEN.search(next(iter(names), ""))
    if not found:
        return None
    others = [entry for entry in listed if bears(entry, found[1]) and entry.get("id") not in known]
    newest = max(others, key=lambda entry: str(entry.get("created_at")), default=None)
    return None if newest is None else api.job(str(newest["id"]))


def _happenings(api: TogetherApi, job: Json) -> list[Json]:
    """A job's events, the oldest first; of two at one time, in the order in which they come."""
    told = api.events(str(job["id"]))
    if len(told) > 1 and _happened_at(told[0]) > _happened_at(told[-1]):
        told.reverse()
    return sorted(told, key=_happened_at)


def _evidence(told: list[Json]) -> str:
    """The last event that speaks of an error, or of money."""
    bad = [
        event
        for event in told
        if str(event.get("level") or "").lower() in ("error", "legacy_ierror")
        or _kind(event) in ("job_error", "job_user_error", "user_error", "billing_limit")
    ]
    return redact(str(bad[-1].get("message") or "")) if bad else ""


def _event(event: Json, cursor: str, time_: float) -> Event:
    kind, state = _kind(event), EVENT_STATES.get(_kind(event))
    level = str(event.get("level") or "").lower()
    loud = level in ("warning", "error", "legacy_iwarning", "legacy_ierror") or kind in ("warning", "billing_limit")
    step = event.get("step")
    return Event(
        cursor=cursor,
        time=time_,
        kind="state" if state else "checkpoint" if kind == "checkpoint_save" else "warning" if loud else "log",
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


def _happened_at(event: Json) -> float:
    text = str(event.get("created_at") or "")
    is_number = text.replace(".", "", 1).isdecimal()
    return float(text) if is_number and not parse_timestamp(text) else epoch_seconds(text)


def _logged_at(row: Json) -> float:
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
    left = progress.get("seconds_remaining")
    known = state is JobState.RUNNING and progress.get("estimate_available") and isinstance(left, int | float)
    return float(left) if known and left is not None and left >= 0 else None


def _place(cursor: str | None) -> tuple[int, int]:
    found = _CURSOR.fullmatch(cursor or "0.0")
    return (int(found[1]), int(found[2])) if found else (0, 0)
