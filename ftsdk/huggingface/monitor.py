"""Tell where a job at Hugging Face is and what has happened to it: by its machine, its log, and what it has sent."""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, NamedTuple

from pydantic import ConfigDict

from ftsdk.errors import FtsdkError, InputError
from ftsdk.huggingface.connection import Hub
from ftsdk.huggingface.container import MARK
from ftsdk.huggingface.execution import RemoteExecution, Seen
from ftsdk.huggingface.log import Line
from ftsdk.huggingface.results import Result, log_of, result_of
from ftsdk.job_types import Event, JobState, JobStatus, Reason
from ftsdk.redact import redact
from ftsdk.spec import Section
from ftsdk.workers.diagnosis import diagnose
from ftsdk.workers.outcome import Outcome, failed

_GLANCE = 200  # lines of the end of a log, for a status
_ENDED = 3
"""In a cursor: queued, running and the end have been told."""
_TIMEOUT = re.compile(r"time[d ]?-?\s?out", re.IGNORECASE)
_PROGRESS = "progress"
"""A happening that is no event: how far the job has come."""

Fields = dict[str, Any]


class _Progress(Section):
    """How far the container says that the job is."""

    model_config = ConfigDict(extra="ignore")

    kind: Literal["progress"]
    stage: str | None = None
    step: int | None = None
    total_steps: int | None = None
    eta_seconds: float | None = None


class LogParser(NamedTuple):
    """What a job's engine says, and what it means."""

    hear: Callable[[], Callable[[str], Fields | None]]
    """Makes what hears the lines of a log in their order; of each, the fields of an event, or None."""
    read: Callable[[Result], Outcome]
    """How it ended, by its own report."""


def status(hub: Hub, carrier: RemoteExecution, tongue: LogParser) -> JobStatus:
    """Where the job is."""
    seen = carrier.look()
    return _status(hub, carrier, tongue, seen, _sent(hub, carrier, seen))


def events(hub: Hub, carrier: RemoteExecution, tongue: LogParser, after: str | None) -> Iterator[Event]:
    """What has happened so far, behind a cursor.

    A cursor counts the states that lie before it (1 queued, 2 running, 3 the end) and the lines of log.
    """
    told, heard = _place(after)
    seen = carrier.look()
    result = _sent(hub, carrier, seen)
    latest = max(seen.times[:2])
    begun = [JobState.QUEUED, *([JobState.RUNNING] if seen.times[1] else [])]
    for number, each in enumerate(begun[told:], told + 1):
        told = number
        yield Event(cursor=f"{told}.{heard}", time=seen.times[number - 1], kind="state", state=each)
    lines = _lines(hub, carrier, seen, result) if seen.times[1] and told < _ENDED else []
    for number, (time, fields) in enumerate(_meanings(lines, tongue), 1):
        latest = max(latest, time)
        if number > heard and fields and fields["kind"] != _PROGRESS:
            heard = number
            yield Event(cursor=f"{told}.{heard}", time=latest, **fields)
    now = _status(hub, carrier, tongue, seen, result)
    if now.state.done and told < _ENDED:
        last = {"kind": "state", "state": now.state, "message": now.message}
        yield Event(cursor=f"{_ENDED}.{max(heard, len(lines))}", time=max(latest, seen.times[2]), **last)


def cancel(hub: Hub, carrier: RemoteExecution) -> None:
    """Ask the job to stop; without effect on one that is done."""
    seen = carrier.look()
    if seen.state.done or _sent(hub, carrier, seen):
        return
    try:
        carrier.stop()
    except FtsdkError:
        if not carrier.look().state.done:  # it may just have ended by itself
            raise


def _sent(hub: Hub, carrier: RemoteExecution, seen: Seen) -> Result | None:
    """What the job has sent, where it may have."""
    may = seen.state.done or (carrier.outlives and seen.state is not JobState.QUEUED)
    return result_of(hub, seen.repository) if may and seen.repository else None


def _status(hub: Hub, carrier: RemoteExecution, tongue: LogParser, seen: Seen, result: Result | None) -> JobStatus:
    if result is None and not seen.state.done:
        common: Fields = {"raw_status": seen.word, "cost": seen.cost}
        figures = _figures(hub, carrier, tongue, seen) if seen.state is JobState.RUNNING else {}
        stage = figures.pop("stage", "") or seen.message or seen.word.lower()
        return JobStatus(state=seen.state, stage=stage, **common, **figures)
    warning = carrier.settle()
    now = carrier.look() if carrier.outlives else seen  # it has just been paused
    if warning:  # no end yet: whoever looks again pauses it again
        said = {"raw_status": now.word, "cost": now.cost, "warnings": (warning,)}
        return JobStatus(state=JobState.RUNNING, stage="done, and to be paused", **said)
    outcome = tongue.read(result) if result else _without_result(carrier, seen)
    figures = _figures(hub, carrier, tongue, seen, result)
    figures.pop("stage", None)
    figures.pop("eta_seconds", None)
    if outcome.state is JobState.SUCCEEDED and figures:
        figures["progress"] = 1.0
    ended = outcome.model_dump(include={"state", "reason", "message", "hint"})
    return JobStatus(**ended, raw_status=now.word, cost=now.cost, **figures)


def _lines(
    hub: Hub, carrier: RemoteExecution, seen: Seen, result: Result | None, tail: int | None = None
) -> list[Line]:
    """The log; where Hugging Face has it no more, the copy that came back with the results."""
    try:
        lines = carrier.lines(tail, ended=seen.state.done)
    except FtsdkError:
        if result is None:
            raise
        lines = []
    return lines or (log_of(hub, result) if result else [])


def _meanings(lines: Iterable[Line], tongue: LogParser) -> Iterator[tuple[float, Fields | None]]:
    hear = tongue.hear()
    for time, line in lines:
        yield time, _happening(line) if line.startswith(MARK) else hear(line)


def _happening(line: str) -> Fields:
    """The fields of an event that the container has printed; a line that only looks like one is a line of log."""
    try:
        told: Fields = json.loads(line.removeprefix(MARK))
        if told["kind"] == _PROGRESS:
            return _Progress.model_validate(told).model_dump()
        if told["kind"] == "state":  # of the worker inside; Hugging Face tells the states
            return {"kind": "log", "message": redact(f"{told['state']} {told.get('message') or ''}".strip())}
        given = {name: told[name] for name in ("kind", "message", "metrics", "step") if told.get(name) is not None}
        event = Event.model_validate({**given, "cursor": "", "time": 0.0})
    except (ValueError, TypeError, KeyError):
        return {"kind": "log", "message": redact(line)}
    finite = {name: value for name, value in event.metrics.items() if math.isfinite(value)}
    return {"kind": event.kind, "message": redact(event.message), "step": event.step, "metrics": finite}


def _figures(hub: Hub, carrier: RemoteExecution, tongue: LogParser, seen: Seen, result: Result | None = None) -> Fields:
    """Steps and metrics, from the end of the log; none where it cannot be had, for a status can do without."""
    try:
        lines = _lines(hub, carrier, seen, result, _GLANCE)
    except FtsdkError:
        return {}
    found: Fields = {}
    metrics: dict[str, float] = {}
    for _, fields in _meanings(lines, tongue):
        metrics |= (fields or {}).get("metrics") or {}
        known = {name: value for name, value in (fields or {}).items() if value is not None}
        found |= {name: known[name] for name in ("step", "total_steps", "stage", "eta_seconds") if name in known}
    if found.get("step") is not None and found.get("total_steps"):
        found["progress"] = min(found["step"] / found["total_steps"], 1.0)
    return {**found, "metrics": metrics}


def _without_result(carrier: RemoteExecution, seen: Seen) -> Outcome:
    """How a job ended that has sent nothing."""
    if seen.state is JobState.CANCELLED:
        return Outcome(state=JobState.CANCELLED, message=redact(seen.message))
    if _TIMEOUT.search(seen.message):
        hint = "raise compute.timeout, then submit again"
        return failed(Reason.TIMEOUT, f"{carrier.title} was ended: {seen.message}", hint)
    if seen.state is JobState.SUCCEEDED:
        what = f"{carrier.title} ended well by Hugging Face's word, and has sent nothing"
        return failed(Reason.PROVIDER_ERROR, what, "ftsdk logs tells more; the token may lack the right to write")
    try:
        words = [line for _, line in carrier.lines(_GLANCE, ended=True) if not line.startswith(MARK)]
    except FtsdkError:
        words = []
    found = diagnose(words, "" if words else f"{carrier.title} ended: {seen.message or seen.word}")
    return failed(found.reason, found.message, found.hint)


def _place(cursor: str | None) -> tuple[int, int]:
    told, dot, heard = (cursor or "0.0").partition(".")
    if not (dot and told.isdecimal() and heard.isdecimal()):
        what = f"{cursor!r} is no cursor of this job's events"
        raise InputError(what, hint="give the cursor of an event you were sent")
    return int(told), int(heard)
