"""Report where a training is and what has happened to it."""

from collections.abc import Iterator

from ftsdk.job_types import Event, JobState, JobStatus
from ftsdk.redact import redact
from ftsdk.remote.backend import ServiceJob
from ftsdk.remote.timestamps import epoch_seconds
from ftsdk.workers.log_parser import parse_metrics, parse_progress_bar
from ftsdk_replicate.api import Json, ReplicateApi
from ftsdk_replicate.states import evidence_of, reason_of, state_of

_ENDED = 3
"""In a cursor: queued, running and the end have been reported."""


def status(api: ReplicateApi, training_id: str) -> JobStatus:
    """Where the training is now."""
    training = api.training(training_id)
    word = str(training.get("status") or "")
    state = state_of(word)
    failed = state is JobState.FAILED
    reason, hint = reason_of(training) if failed else (None, "")
    step, total, eta = _progress(training)
    return JobStatus(
        state=state,
        stage="" if state.done else word.lower(),
        raw_status=word,
        reason=reason,
        message=redact(evidence_of(training)) if failed else "",
        hint=hint,
        step=step,
        total_steps=total,
        progress=1.0 if state is JobState.SUCCEEDED else step / total if step is not None and total else None,
        eta_seconds=None if state.done else eta,
        metrics=last_metrics(training),
    )


def events(api: ReplicateApi, training_id: str, after: str | None) -> Iterator[Event]:
    """What has happened so far, behind a cursor.

    A cursor counts the states that lie before it (1 queued, 2 running, 3 the end) and the characters of log. Logs grow;
    where they are shorter than before, or gone, Replicate has removed them, and nothing is reported again.
    """
    training = api.training(training_id)
    states, read = _parse_cursor(after)
    state = state_of(str(training.get("status") or ""))
    times = [epoch_seconds(training.get(name)) for name in ("created_at", "started_at", "completed_at")]
    reached = [JobState.QUEUED, *([JobState.RUNNING] if times[1] else [])]
    for number, reached_state in enumerate(reached[states:], states + 1):
        states = number
        yield Event(cursor=f"{states}.{read}", time=times[number - 1], kind="state", state=reached_state)
    for line, end in _lines(str(training.get("logs") or ""), read, complete_only=not state.done):
        read = end
        yield _line_event(line, f"{states}.{read}", max(times[:2]))
    if state.done and states < _ENDED:
        message = redact(evidence_of(training)) if state is JobState.FAILED else ""
        yield Event(cursor=f"{_ENDED}.{read}", time=max(times), kind="state", state=state, message=message)


def observe(api: ReplicateApi, training_id: str) -> ServiceJob:
    """The training."""
    training = api.training(training_id)
    return ServiceJob(training_id, state_of(str(training.get("status") or "")), str(training.get("created_at")))


def last_metrics(training: Json) -> dict[str, float]:
    """The last value of each metric that the log shows."""
    metrics: dict[str, float] = {}
    for line in str(training.get("logs") or "").splitlines():
        metrics |= parse_metrics(line)
    return metrics


def _line_event(line: str, cursor: str, time: float) -> Event:
    """A line of log, or the metrics that it shows."""
    metrics = parse_metrics(line)
    bar = parse_progress_bar(line)
    if metrics:
        return Event(cursor=cursor, time=time, kind="metrics", step=bar.step if bar else None, metrics=metrics)
    return Event(cursor=cursor, time=time, kind="log", message=redact(line))


def _lines(logs: str, read: int, *, complete_only: bool) -> Iterator[tuple[str, int]]:
    """Each line behind the characters that were read, with the position behind it."""
    for line in logs[read:].splitlines(keepends=True):
        if complete_only and not line.endswith(("\n", "\r")):
            return  # the log still grows: half a line would be reported now, and its other half as another line
        read += len(line)
        if line.strip():
            yield line.strip(), read


def _progress(training: Json) -> tuple[int | None, int | None, float | None]:
    bars = [bar for line in str(training.get("logs") or "").splitlines() if (bar := parse_progress_bar(line))]
    return (bars[-1].step, bars[-1].total, bars[-1].seconds_left) if bars else (None, None, None)


def _parse_cursor(cursor: str | None) -> tuple[int, int]:
    states, _, read = (cursor or "0.0").partition(".")
    return (int(states), int(read)) if states.isdecimal() and read.isdecimal() else (0, 0)
