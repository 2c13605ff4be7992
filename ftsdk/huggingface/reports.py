"""What the container reports in its log, and how an engine's own lines and outcome are read."""

import json
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from pydantic import ConfigDict

from ftsdk.huggingface.container import LOG_PREFIX
from ftsdk.huggingface.results import JobResult
from ftsdk.job_types import Event
from ftsdk.redact import redact
from ftsdk.spec import Section
from ftsdk.workers.outcome import Outcome


class LogEntry(NamedTuple):
    """What one line of the log means: an event, or the job's progress."""

    kind: Literal["metrics", "log", "warning", "checkpoint", "sample", "progress"]
    """That of the event; ``progress`` is none."""
    message: str = ""
    step: int | None = None
    metrics: Mapping[str, float] = MappingProxyType({})
    stage: str | None = None
    """What the job is doing; this and what follows only for ``progress``."""
    total_steps: int | None = None
    eta_seconds: float | None = None


LineParser = Callable[[str], LogEntry | None]
"""Parses the lines of one log in their order; None for a line that means nothing."""


class ReportReader(NamedTuple):
    """How the reports of a job's engine are read."""

    line_parser: Callable[[], LineParser]
    """Makes the parser for one log, of lines that the container does not print as events."""
    read_outcome: Callable[[JobResult], Outcome]
    """How the job ended."""


class _Progress(Section):
    """How far the container says that the job is."""

    model_config = ConfigDict(extra="ignore")

    kind: Literal["progress"]
    stage: str | None = None
    step: int | None = None
    total_steps: int | None = None
    eta_seconds: float | None = None


def parse_event(line: str) -> LogEntry:
    """The event that the container has printed, from a line with :data:`LOG_PREFIX`.

    A user's own code may have printed the line: whatever is no event of ours is a line of log.
    """
    try:
        report: dict[str, Any] = json.loads(line.removeprefix(LOG_PREFIX))
        if report["kind"] == "progress":
            return LogEntry(**_Progress.model_validate(report).model_dump())
        if report["kind"] == "state":  # of the worker in the container; Hugging Face reports the job's states
            return LogEntry("log", redact(f"{report['state']} {report.get('message') or ''}".strip()))
        fields = {name: report[name] for name in ("kind", "message", "metrics", "step") if report.get(name) is not None}
        event = Event.model_validate({**fields, "cursor": "", "time": 0.0})
    except (ValueError, TypeError, KeyError):
        return LogEntry("log", redact(line))
    assert event.kind != "state"
    # JSON by Python holds NaN and Infinity, which no other reader of events takes.
    finite = {name: value for name, value in event.metrics.items() if math.isfinite(value)}
    return LogEntry(event.kind, redact(event.message), event.step, finite)
