"""Tell where a training is and what has happened to it."""

from collections.abc import Iterator

from ftsdk.job_types import Event, JobState, JobStatus
from ftsdk.redact import redact
from ftsdk.remote.backend import RemoteJob
from ftsdk.remote.timestamps import epoch_seconds
from ftsdk.workers.log_parser import parse_metrics, parse_progress_bar
from ftsdk_replicate.api import Json, ReplicateApi
from ftsdk_replicate.states import evidence_of, reason_of, state_of

_ENDED = 3
"""In a cursor: queued, running and the end have been told."""


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
    where they are shorter than before, or gone, Replicate has removed them, and nothing is told again.
    """
    training = api.training(training_id)
    told, read = _place(after)
    state = state_of(str(training.get("status") or ""))
    times = [epoch_seconds(training.get(name)) for name in ("created_at", "started_at", "completed_at")]
    begun = [JobState.QUEUED, *([JobState.RUNNING] if times[1] else [])]
    for number, each in enumerate(begun[told:], told + 1):
        told = number
        yield Event(cursor=f"{told}.{read}", time=times[number - 1], kind="state", state=each)
    for line, end in _lines(str(training.get("logs") or ""), read, whole=not state.done):
        read = end
        yield from _told(line, f"{told}.{read}", max(times[:2]))
    if state.done and told < _ENDED:
        message = redact(evidence_of(training)) if state is JobState.FAILED else ""
        yield Event(cursor=f"{_ENDED}.{read}", time=max(times), kind="state", state=state, message=message)


def observe(api: ReplicateApi, training_id: str) -> RemoteJob:
    """The training."""
    training = api.training(training_id)
    return RemoteJob(training_id, state_of(str(training.get("status") or "")), str(training.get("created_at")))


def last_metrics(training: Json) -> dict[str, float]:
    """The last value of each metric that the log shows."""
    found: dict[str, float] = {}
    for line in str(training.get("logs") or "").splitlines():
        found |= parse_metrics(line)
    return found


def _told(line: str, cursor: str, time: float) -> Iterator[Event]:
    """A line of log, or the metrics that it shows."""
    values = parse_metrics(line)
    bar = parse_progress_bar(line)
    if values:
        yield Event(cursor=cursor, time=time, kind="metrics", step=bar.step if bar else None, metrics=values)
    else:
        yield Event(cursor=cursor, time=time, kind="log", message=redact(line))


def _lines(logs: str, read: int, *, whole: bool) -> Iterator[tuple[str, int]]:
    """Each line behind what was read, with the place behind it; of a log that grows, whole lines only."""
    for line in logs[read:].splitlines(keepends=True):
        if whole and not line.endswith(("\n", "\r")):
            return
        read += len(line)
        if line.strip():
            yield line.strip(), read


def _progress(training: Json) -> tuple[int | None, int | None, float | None]:
    bars = [bar for line in str(training.get("logs") or "").splitlines() if (bar := parse_progress_bar(line))]
    return (bars[-1].step, bars[-1].total, bars[-1].left) if bars else (None, None, None)


def _place(cursor: str | None) -> tuple[int, int]:
    told, _, read = (cursor or "0.0").partition(".")
    return (int(told), int(read)) if told.isdecimal() and read.isdecimal() else (0, 0)
