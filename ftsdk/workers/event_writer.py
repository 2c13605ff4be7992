"""What a worker tells the world: events, one line each, and a heartbeat.

Everything goes to files of the job's folder; whoever wants to know reads them, in his own time.
"""

import json
import math
import os
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ftsdk.errors import InputError
from ftsdk.files import write_atomic
from ftsdk.job_folder import JobFolder
from ftsdk.job_types import Event, JobState
from ftsdk.redact import redact
from ftsdk.spec import Section

BEAT_SECONDS = 10.0
"""The longest time between two heartbeats."""
_REST_SECONDS = 1.0
"""The shortest time between two heartbeats, so that a fast engine does not wear out the disk."""
_LEAST_PATIENCE = 600.0
"""Seconds without progress that nobody need worry about."""


class Heartbeat(Section):
    """One sign of life. Its two times are of the machine's monotonic clock, which all processes share."""

    counter: int = 0
    """One more with each beat."""
    beat: float = 0.0
    """When the worker last gave a sign of life, in seconds."""
    progressed: float = 0.0
    """When the work last went forward, in seconds."""
    patience: float = _LEAST_PATIENCE
    """Seconds without progress after which something is likely wrong: ten times the slowest step so far."""
    state: JobState = JobState.QUEUED
    """Queued or running; at the end, how it ended."""
    stage: str = ""
    """What is being done now."""
    step: int | None = None
    """Optimizer steps done."""
    total_steps: int | None = None
    """Optimizer steps in all."""
    eta_seconds: float | None = None
    """Seconds until the end, at the present pace."""
    metrics: Mapping[str, float] = {}
    """The last value of each metric."""


class EventWriter:
    """Writes the events and the heartbeat of one attempt. Only the worker that holds the run lock may have one.

    Each event is written through at once; a failure to write it (a full disk) is raised. The heartbeat is written by a
    thread of its own, so that the disk never holds up the training.
    """

    def __init__(self, folder: JobFolder) -> None:
        _drop_torn_line(folder.events)
        self._events = os.open(folder.events, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._heartbeat = folder.heartbeat
        self._now = Heartbeat(progressed=time.monotonic())
        self._not_finite: set[str] = set()
        self._lock = threading.Lock()
        self._beating = threading.Lock()
        self._changed = threading.Event()
        self._closed = threading.Event()
        self._beat()
        threading.Thread(target=self._beat_until_closed, name="heartbeat", daemon=True).start()

    @property
    def now(self) -> Heartbeat:
        """What has been told so far."""
        return self._now

    def state(self, state: JobState, message: str = "") -> None:
        """The job has come into a new state."""
        self._append("state", state=state.value, message=_clean(message))
        self._tell(state=state, progressed=time.monotonic())
        self._beat()

    def stage(self, text: str) -> None:
        """What is being done now, in a word or two (``loading the model``)."""
        self._tell(stage=_clean(text), progressed=time.monotonic())

    def progress(self, step: int, total_steps: int, eta_seconds: float | None = None) -> None:
        """One more optimizer step is done."""
        now = time.monotonic()
        self._tell(
            step=int(step),
            total_steps=int(total_steps),
            eta_seconds=float(eta_seconds) if eta_seconds is not None and math.isfinite(eta_seconds) else None,
            patience=max(self._now.patience, 10 * (now - self._now.progressed)),
            progressed=now,
        )

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Values by their Transformers names. One that is not finite is left out, with one warning for each name."""
        numbers = {name: float(value) for name, value in values.items()}
        finite = {name: value for name, value in numbers.items() if math.isfinite(value)}
        self._append("metrics", step=int(step), metrics=finite)
        self._tell(metrics={**self._now.metrics, **finite})
        for name in sorted(numbers.keys() - finite.keys() - self._not_finite):
            self._not_finite.add(name)
            self.warning(f"{name} is {numbers[name]} at step {step}; values that are not finite are left out")

    def log(self, message: str) -> None:
        """A line worth keeping."""
        self._append("log", message=_clean(message))

    def warning(self, message: str) -> None:
        """Something that the user should know."""
        self._append("warning", message=_clean(message))

    def checkpoint(self, step: int, name: str) -> None:
        """A checkpoint has been sealed."""
        self._append("checkpoint", step=int(step), message=_clean(name))

    def sample(self, step: int, message: str) -> None:
        """Something that the model wrote."""
        self._append("sample", step=int(step), message=_clean(message))

    def close(self) -> None:
        """The last beat."""
        self._closed.set()
        self._changed.set()
        self._beat()
        os.close(self._events)

    def _append(self, kind: str, **fields: Any) -> None:
        line = json.dumps({"time": time.time(), "kind": kind, **fields}, allow_nan=False) + "\n"
        with self._lock:
            _write_whole(self._events, line.encode("ascii"))

    def _tell(self, **changes: Any) -> None:
        with self._lock:
            self._now = self._now.model_copy(update=changes)
        self._changed.set()

    def _beat(self) -> None:
        with self._beating:
            self._tell(counter=self._now.counter + 1, beat=time.monotonic())
            self._changed.clear()
            write_atomic(self._heartbeat, self._now.model_dump_json(exclude_none=True) + "\n")

    def _beat_until_closed(self) -> None:
        while not self._closed.wait(_REST_SECONDS):
            self._changed.wait(BEAT_SECONDS - _REST_SECONDS)
            try:
                self._beat()
            except OSError:  # a full disk: the next event raises it where it can be handled, and the beat grows old
                continue


def read_events(path: Path, after: str | None = None) -> Iterator[Event]:
    """The events of a file behind a cursor, which is the number of bytes before them.

    A last line that is not whole yet is left for later; a broken line gives a warning in its place.

    Raises:
        InputError: The cursor is none of ours.
    """
    if after and not after.isdecimal():
        raise _no_cursor(after)
    end = int(after or 0)
    if not path.exists():
        return
    with path.open("rb") as file:
        if end:
            file.seek(end - 1)
            if file.read(1) not in (b"\n", b""):
                raise _no_cursor(end)
        for line in file:
            if not line.endswith(b"\n"):
                return
            end += len(line)
            yield _event(line, str(end))


def _no_cursor(given: object) -> InputError:
    return InputError(f"{given!r} is no cursor of this job's events", hint="give the cursor of an event you were sent")


def _event(line: bytes, cursor: str) -> Event:
    try:
        return Event.model_validate({**json.loads(line), "cursor": cursor})
    except (ValueError, TypeError):
        return Event(cursor=cursor, time=0.0, kind="warning", message="a damaged line of events.jsonl was skipped")


def _clean(text: str) -> str:
    """Without secrets, and without what UTF-8 cannot hold."""
    return redact(text).encode("utf-8", "replace").decode("utf-8")


def _drop_torn_line(path: Path) -> None:
    """Cut off the half line that a killed writer left, so that the next event starts on a line of its own."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)


def _write_whole(descriptor: int, data: bytes) -> None:
    """Append all bytes or none."""
    size = os.fstat(descriptor).st_size
    left = memoryview(data)
    try:
        while left:
            left = left[os.write(descriptor, left) :]
    except OSError:
        os.ftruncate(descriptor, size)
        raise
