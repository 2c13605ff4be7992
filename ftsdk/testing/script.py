"""What a fake job will do: its script, and the timeline that follows from it.

Time alone moves a fake job on: no thread, no process. Everything that will ever happen to it follows from its script,
the time of its creation and the requests since then; its present status is a cut through that timeline.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from ftsdk.backend import Options
from ftsdk.job_types import Reason

Seconds = Annotated[float, Field(ge=0)]


class Script(Options):
    """How a fake job goes, from ``backend_options.fake``; left blank, it succeeds at once."""

    outcome: Literal["succeed"] | Reason = "succeed"
    """How the job ends: ``succeed``, or the reason it fails for (``oom``, ``data_error``, ...), halfway through."""
    queue_seconds: Seconds = 0.0
    """Time in the queue."""
    run_seconds: Seconds = 0.0
    """Time from the first step to the last."""
    steps: Annotated[int, Field(ge=1, le=10_000)] = 10
    """Optimizer steps in all."""
    reject: bool = False
    """The system refuses the request; nothing is created."""
    lose_request: bool = False
    """The first request never arrives, and no answer comes: nothing is created, but the caller does not know that."""
    lose_answer: bool = False
    """The job is created, but the answer is lost on its way back."""
    find_undecided: bool = False
    """Once a job has been created, the system cannot say whether there is one."""
    find_lag_seconds: Seconds = 0.0
    """Time after its creation in which a job is not yet listed; the system reports that its list is not complete."""
    unreachable_seconds: Seconds = 0.0
    """Time after its creation in which the system does not answer about the job."""
    unknown_status: str = ""
    """An unknown status word in the place of the real one."""
    ignore_cancel: bool = False
    """The job stays ``cancelling`` and runs to its end."""
    price: Annotated[float, Field(ge=0)] | None = None
    """The price of a complete run, in US dollars."""


class RecordedRequest(NamedTuple):
    """A request about a job after its creation."""

    verb: Literal["cancel", "resume"]
    at: float
    """Seconds since 1970."""


class ScriptedEvent(NamedTuple):
    """One entry in a job's timeline, in the system's own words."""

    at: float
    """Seconds since 1970."""
    kind: Literal["state", "metrics", "log", "checkpoint"]
    text: str = ""
    """The new status word, for a state; else a line of log."""
    step: int | None = None
    metrics: dict[str, float] = {}


ENDS = frozenset({"COMPLETED", "ERROR", "STOPPED"})
"""The final status words."""


def timeline(script: Script, created: float, requests: Iterable[RecordedRequest]) -> list[ScriptedEvent]:
    """Everything that has happened to a job, and that will without further requests, in order."""
    # A request changes the future alone: each one keeps the events up to its time, and replaces those after it.
    line = list(_run(script, created))
    for request in requests:
        past = [event for event in line if event.at <= request.at]
        ended = last_status_word(past) in ENDS
        if request.verb == "cancel" and not ended:
            line = [*past, *_stop(script, request.at, line[len(past) :])]
        elif request.verb == "resume" and last_status_word(past) in ("ERROR", "STOPPED"):
            line = [
                *past,
                *_run(script.model_copy(update={"outcome": "succeed"}), request.at, _last_checkpoint(past) + 1),
            ]
    return line


def last_status_word(past: list[ScriptedEvent]) -> str:
    """The last status word of a timeline."""
    return next(event.text for event in reversed(past) if event.kind == "state")


def _run(script: Script, start: float, first: int = 1) -> Iterator[ScriptedEvent]:
    """One attempt from its first step; a resumed one succeeds."""
    begin, end = start + script.queue_seconds, start + script.queue_seconds + script.run_seconds
    fails = script.outcome != "succeed"
    last = script.steps // 2 if fails else script.steps
    yield ScriptedEvent(start, "state", "QUEUED")
    yield ScriptedEvent(begin, "state", "RUNNING")
    yield ScriptedEvent(begin, "log", f"training starts at step {first - 1}")
    for step in range(first, last + 1):
        at = begin + (end - begin) * (step - first + 1) / (last - first + 1)
        yield ScriptedEvent(at, "metrics", step=step, metrics=metrics_at(script, step))
        if step in (script.steps // 4, last):
            yield ScriptedEvent(at, "checkpoint", f"checkpoint at step {step}", step=step)
    yield ScriptedEvent(end, "log", f"stopped by the script: {script.outcome}" if fails else "training has ended")
    yield ScriptedEvent(end, "state", "ERROR" if fails else "COMPLETED")


def _stop(script: Script, at: float, future: list[ScriptedEvent]) -> Iterator[ScriptedEvent]:
    yield ScriptedEvent(at, "state", "STOPPING")
    if script.ignore_cancel:
        yield from (event for event in future if event.text not in ("QUEUED", "RUNNING"))
    else:
        yield ScriptedEvent(at, "state", "STOPPED")


def _last_checkpoint(past: list[ScriptedEvent]) -> int:
    return max((event.step or 0 for event in past if event.kind == "checkpoint"), default=0)


def metrics_at(script: Script, step: int) -> dict[str, float]:
    """A loss that falls smoothly from about 2.4 to 0.6, and a learning rate that falls to 0."""
    share = step / script.steps
    return {"loss": round(0.6 + 1.8 * math.exp(-3 * share), 6), "learning_rate": round(2e-4 * (1 - share), 10)}
