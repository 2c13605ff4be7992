"""What a worker reports: events, one line each, and a heartbeat.

Both are files of the job's folder, so that any process can read them at any time, also after the worker has ended.
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
"""The shortest time between two heartbeats: a fast engine would otherwise write many times a second."""
_LEAST_PATIENCE = 600.0
"""Seconds without progress that are never a reason to warn: loading a large model can take as long."""


class Heartbeat(Section):
    """One sign of life. Its two times are of the machine's monotonic clock, which all processes share."""

    # Monotonic, because the wall clock jumps when it is set or the machine sleeps; every such jump would look like a
    # worker that hangs.

    counter: int = 0
    """One more with each beat."""
    beat: float = 0.0
    """When the worker last gave a sign of life, in seconds."""
    progressed: float = 0.0
    """When the work last made progress, in seconds."""
    patience: float = _LEAST_PATIENCE
    """Seconds without progress after which something is likely wrong: ten times the slowest step so far."""
    state: JobState = JobState.QUEUED
    """Queued or running; at the end, the final state."""
    stage: str = ""
    """The current activity."""
    step: int | None = None
    """Optimizer steps done."""
    total_steps: int | None = None
    """Optimizer steps in all."""
    eta_seconds: float | None = None
    """Seconds until the end, at the present rate."""
    metrics: Mapping[str, float] = {}
    """The last value of each metric."""


class EventWriter:
    """Writes the events and the heartbeat of one attempt. Only the worker that holds the run lock may have one.

    Each event is written at once; a failure to write it (a full disk) is raised. A thread of its own writes the
    heartbeat, so that a slow disk does not delay the training.
    """

    def __init__(self, folder: JobFolder) -> None:
        _drop_torn_line(folder.events)
        self._events = os.open(folder.events, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._heartbeat = folder.heartbeat
        self._now = Heartbeat(progressed=time.monotonic())
        self._not_finite: set[str] = set()
        self._lock = threading.Lock()
        # Two locks: a heartbeat writes a file and may take seconds; events and progress must not wait for it.
        self._heartbeat_lock = threading.Lock()
        self._changed = threading.Event()
        self._closed = threading.Event()
        self._write_heartbeat()
        threading.Thread(target=self._write_heartbeats, name="heartbeat", daemon=True).start()

    @property
    def now(self) -> Heartbeat:
        """The last heartbeat."""
        return self._now

    def state(self, state: JobState, message: str = "") -> None:
        """Report a new state of the job."""
        self._append("state", state=state.value, message=_clean(message))
        self._update(state=state, progressed=time.monotonic())
        self._write_heartbeat()

    def stage(self, text: str) -> None:
        """Report the current activity, in a word or two (``loading the model``)."""
        self._update(stage=_clean(text), progressed=time.monotonic())

    def progress(self, step: int, total_steps: int, eta_seconds: float | None = None) -> None:
        """Report that one more optimizer step is done."""
        now = time.monotonic()
        self._update(
            step=int(step),
            total_steps=int(total_steps),
            eta_seconds=float(eta_seconds) if eta_seconds is not None and math.isfinite(eta_seconds) else None,
            # From the slowest step so far, because a step takes milliseconds on one machine and an hour on another.
            patience=max(self._now.patience, 10 * (now - self._now.progressed)),
            progressed=now,
        )

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Report metrics by their Transformers names. Values that are not finite are left out, with a warning."""
        numbers = {name: float(value) for name, value in values.items()}
        finite = {name: value for name, value in numbers.items() if math.isfinite(value)}
        self._append("metrics", step=int(step), metrics=finite)
        self._update(metrics={**self._now.metrics, **finite})
        for name in sorted(numbers.keys() - finite.keys() - self._not_finite):
            self._not_finite.add(name)
            self.warning(f"{name} is {numbers[name]} at step {step}; values that are not finite are left out")

    def log(self, message: str) -> None:
        """Report a line of the log."""
        self._append("log", message=_clean(message))

    def warning(self, message: str) -> None:
        """Report a warning for the user."""
        self._append("warning", message=_clean(message))

    def checkpoint(self, step: int, name: str) -> None:
        """Report a sealed checkpoint."""
        self._append("checkpoint", step=int(step), message=_clean(name))

    def sample(self, step: int, message: str) -> None:
        """Report a text that the model generated."""
        self._append("sample", step=int(step), message=_clean(message))

    def close(self) -> None:
        """Write the last heartbeat, and end."""
        self._closed.set()
        self._changed.set()
        self._write_heartbeat()
        os.close(self._events)

    def _append(self, kind: str, **fields: Any) -> None:
        line = json.dumps({"time": time.time(), "kind": kind, **fields}, allow_nan=False) + "\n"
        with self._lock:
            _write_all_or_nothing(self._events, line.encode("ascii"))

    def _update(self, **changes: Any) -> None:
        with self._lock:
            self._now = self._now.model_copy(update=changes)
        self._changed.set()

    def _write_heartbeat(self) -> None:
        with self._heartbeat_lock:
            self._update(counter=self._now.counter + 1, beat=time.monotonic())
            self._changed.clear()
            write_atomic(self._heartbeat, self._now.model_dump_json(exclude_none=True) + "\n")

    def _write_heartbeats(self) -> None:
        while not self._closed.wait(_REST_SECONDS):
            self._changed.wait(BEAT_SECONDS - _REST_SECONDS)
            try:
                self._write_heartbeat()
            except OSError:  # a full disk: the next event raises it where it can be handled
                continue


def read_events(path: Path, after: str | None = None) -> Iterator[Event]:
    """The events of a file after a cursor, which is the number of bytes before them.

    A last line that is not complete yet is left for the next call; a damaged line gives a warning in its place.

    Raises:
        InputError: The cursor is not one of this file.
    """
    if after and not after.isdecimal():
        raise _wrong_cursor(after)
    end = int(after or 0)
    if not path.exists():
        return
    with path.open("rb") as file:
        if end:
            file.seek(end - 1)
            # A cursor stands behind the end of a line; beyond the file's end where a power cut has lost the last lines.
            if file.read(1) not in (b"\n", b""):
                raise _wrong_cursor(end)
        for line in file:
            if not line.endswith(b"\n"):
                return
            end += len(line)
            yield _event(line, str(end))


def _wrong_cursor(cursor: object) -> InputError:
    return InputError(f"{cursor!r} is no cursor of this job's events", hint="give the cursor of an event of this job")


def _event(line: bytes, cursor: str) -> Event:
    try:
        return Event.model_validate({**json.loads(line), "cursor": cursor})
    except (ValueError, TypeError):
        return Event(cursor=cursor, time=0.0, kind="warning", message="a damaged line of events.jsonl was skipped")


def _clean(text: str) -> str:
    """A text without secrets, and without characters that UTF-8 cannot encode."""
    return redact(text).encode("utf-8", "replace").decode("utf-8")


def _drop_torn_line(path: Path) -> None:
    """Cut off the incomplete line that a killed writer left, so that the next event starts on a line of its own."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)


def _write_all_or_nothing(descriptor: int, data: bytes) -> None:
    """Append all bytes or none."""
    # A full disk writes a part and fails on the rest; that part would spoil the next event, which may fit again.
    size = os.fstat(descriptor).st_size
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except OSError:
        os.ftruncate(descriptor, size)
        raise
