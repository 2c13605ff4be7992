"""The status and events of a job at Hugging Face, from its machine, its log and its results."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from ftsdk.errors import FtsdkError, InputError
from ftsdk.huggingface.connection import Hub
from ftsdk.huggingface.container import LOG_PREFIX
from ftsdk.huggingface.execution import ExecutionStatus, RemoteExecution
from ftsdk.huggingface.log import LogLine
from ftsdk.huggingface.reports import LogEntry, ReportReader, parse_event
from ftsdk.huggingface.results import JobResult, find_result, read_log_copy
from ftsdk.job_types import Event, JobState, JobStatus, Reason
from ftsdk.redact import redact
from ftsdk.workers.diagnosis import diagnose
from ftsdk.workers.outcome import Outcome, failed

_TAIL = 200  # lines of the end of a log, for a status
_ENDED = 3
"""In a cursor: the states queued, running and the final one have been reported."""
_TIMEOUT = re.compile(r"time[d ]?-?\s?out", re.IGNORECASE)


def status(hub: Hub, execution: RemoteExecution, reader: ReportReader) -> JobStatus:
    """The job's status."""
    current = execution.inspect()
    return _status(hub, execution, reader, current, find_current_result(hub, execution, current))


def events(hub: Hub, execution: RemoteExecution, reader: ReportReader, after: str | None) -> Iterator[Event]:
    """The job's events so far, behind a cursor.

    A cursor counts the states that lie before it (1 queued, 2 running, 3 the end) and the lines of log.
    """
    states, line = _parse_cursor(after)
    current = execution.inspect()
    result = find_current_result(hub, execution, current)
    latest = max(current.times[:2])
    started = [JobState.QUEUED, *([JobState.RUNNING] if current.times[1] else [])]
    for number, state in enumerate(started[states:], states + 1):
        states = number
        yield Event(cursor=f"{states}.{line}", time=current.times[number - 1], kind="state", state=state)
    # The log has no position of the service's to resume from, so it is read from its beginning, and our own count of
    # lines is the cursor. Lines are only ever added behind.
    lines = _lines(hub, execution, current, result) if current.times[1] and states < _ENDED else []
    for number, (time, entry) in enumerate(_entries(lines, reader), 1):
        latest = max(latest, time)
        if number > line and entry and entry.kind != "progress":
            line = number
            yield Event(
                cursor=f"{states}.{line}",
                time=latest,
                kind=entry.kind,
                message=entry.message,
                step=entry.step,
                metrics=entry.metrics,
            )
    final = _status(hub, execution, reader, current, result)
    if final.state.done and states < _ENDED:
        yield Event(
            cursor=f"{_ENDED}.{max(line, len(lines))}",
            time=max(latest, current.times[2]),
            kind="state",
            state=final.state,
            message=final.message,
        )


def find_current_result(hub: Hub, execution: RemoteExecution, current: ExecutionStatus) -> JobResult | None:
    """The job's results, if it may have any by its status, and has."""
    # A Job uploads its results as its last step, so they need no look before its end. A Space has no end.
    possible = current.state.done or (execution.runs_after_completion and current.state is not JobState.QUEUED)
    return find_result(hub, current.repository) if possible and current.repository else None


def _status(
    hub: Hub, execution: RemoteExecution, reader: ReportReader, current: ExecutionStatus, result: JobResult | None
) -> JobStatus:
    if result is None and not current.state.done:
        running = current.state is JobState.RUNNING
        figures = _figures(hub, execution, reader, current) if running else {}
        stage = figures.pop("stage", "") or current.message or current.raw_status.lower()
        return JobStatus(state=current.state, stage=stage, raw_status=current.raw_status, cost=current.cost, **figures)
    warning = execution.stop_billing()
    latest = execution.inspect() if execution.runs_after_completion else current  # it has just been paused
    if warning:
        # Not reported as done: the client caches final states and would never try again to pause the Space.
        return JobStatus(
            state=JobState.RUNNING,
            stage="done, and to be paused",
            raw_status=latest.raw_status,
            cost=latest.cost,
            warnings=(warning,),
        )
    outcome = reader.read_outcome(result) if result else _outcome_without_result(execution, current)
    figures = _figures(hub, execution, reader, current, result)
    figures.pop("stage", None)
    figures.pop("eta_seconds", None)
    if outcome.state is JobState.SUCCEEDED and figures:
        figures["progress"] = 1.0
    ended = outcome.model_dump(include={"state", "reason", "message", "hint"})
    return JobStatus(**ended, raw_status=latest.raw_status, cost=latest.cost, **figures)


def _lines(
    hub: Hub, execution: RemoteExecution, current: ExecutionStatus, result: JobResult | None, tail: int | None = None
) -> list[LogLine]:
    """The log; where Hugging Face does not keep it any more, the copy among the results."""
    try:
        lines = execution.lines(tail, ended=current.state.done)
    except FtsdkError:
        if result is None:
            raise
        lines = []
    return lines or (read_log_copy(hub, result) if result else [])


def _entries(lines: Iterable[LogLine], reader: ReportReader) -> Iterator[tuple[float, LogEntry | None]]:
    parse_line = reader.line_parser()
    for time, line in lines:
        yield time, parse_event(line) if line.startswith(LOG_PREFIX) else parse_line(line)


def _figures(
    hub: Hub,
    execution: RemoteExecution,
    reader: ReportReader,
    current: ExecutionStatus,
    result: JobResult | None = None,
) -> dict[str, Any]:
    """Progress and metrics for a status, from the end of the log; none where the log cannot be read."""
    try:
        lines = _lines(hub, execution, current, result, _TAIL)
    except FtsdkError:
        return {}
    figures: dict[str, Any] = {}
    metrics: dict[str, float] = {}
    for _, entry in _entries(lines, reader):
        if entry is not None:
            metrics |= entry.metrics
            latest = {
                "step": entry.step,
                "total_steps": entry.total_steps,
                "stage": entry.stage,
                "eta_seconds": entry.eta_seconds,
            }
            figures |= {name: value for name, value in latest.items() if value is not None}
    if figures.get("step") is not None and figures.get("total_steps"):
        figures["progress"] = min(figures["step"] / figures["total_steps"], 1.0)
    return {**figures, "metrics": metrics}


def _outcome_without_result(execution: RemoteExecution, current: ExecutionStatus) -> Outcome:
    """How a job ended that has uploaded nothing."""
    if current.state is JobState.CANCELLED:
        return Outcome(state=JobState.CANCELLED, message=redact(current.message))
    if _TIMEOUT.search(current.message):
        hint = "raise compute.timeout, then submit again"
        return failed(Reason.TIMEOUT, f"{execution.title} was ended: {current.message}", hint)
    if current.state is JobState.SUCCEEDED:
        message = f"{execution.title} completed according to Hugging Face, but uploaded no results"
        hint = "see the log: ftsdk logs; the token may lack the right to write"
        return failed(Reason.PROVIDER_ERROR, message, hint)
    try:
        lines = [line for _, line in execution.lines(_TAIL, ended=True) if not line.startswith(LOG_PREFIX)]
    except FtsdkError:
        lines = []
    failure = diagnose(lines, "" if lines else f"{execution.title} ended: {current.message or current.raw_status}")
    return failed(failure.reason, failure.message, failure.hint)


def _parse_cursor(cursor: str | None) -> tuple[int, int]:
    """States and lines before a cursor."""
    states, dot, line = (cursor or "0.0").partition(".")
    if not (dot and states.isdecimal() and line.isdecimal()):
        raise InputError(
            f"{cursor!r} is no cursor of this job's events", hint="give the cursor of an event of the same job"
        )
    return int(states), int(line)
