"""What a fake job will do: its script, and the timeline that follows from it.

Time alone moves a fake job on: no thread, no process. Everything that will ever happen to it follows from its script,
the moment of its creation and what was asked of it since; the present is a cut through that timeline.
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
    """The first request never arrives, and no answer comes: nothing is created, but the caller cannot know."""
    lose_answer: bool = False
    """The job is created, but the answer is lost on its way back."""
    find_undecided: bool = False
    """Once a job has been created, the system cannot say whether there is one."""
    find_lag_seconds: Seconds = 0.0
    """Time after its creation in which a job is not yet listed; the system says so, so nothing is concluded."""
    unreachable_seconds: Seconds = 0.0
    """Time after its creation in which the system cannot be asked about the job."""
    unknown_status: str = ""
    """A status word that the backend does not know, given in place of the real one."""
    ignore_cancel: bool = False
    """The job stays ``cancelling`` and runs to its end."""
    price: Annotated[float, Field(ge=0)] | None = None
    """What a whole run costs, in US dollars."""


class Deed(NamedTuple):
    """Something that was asked of a job after its creation."""

    verb: Literal["cancel", "resume"]
    at: float
    """Seconds since 1970."""


class Happening(NamedTuple):
    """One entry in a job's timeline, in the system's own words."""

    at: float
    """Seconds since 1970."""
    kind: Literal["state", "metrics", "log", "checkpoint"]
    text: str = ""
    """The new status word, for a state; else a line of log."""
    step: int | None = None
    metrics: dict[str, float] = {}


ENDS = frozenset({"COMPLETED", "ERROR", "STOPPED"})
"""The status words that are final."""


def timeline(script: Script, created: float, deeds: Iterable[Deed]) -> list[Happening]:
    """Everything that has happened to a job, and that will unless something more is asked of it, in order."""
    line = list(_run(script, created))
    for deed in deeds:
        past = [happening for happening in line if happening.at <= deed.at]
        ended = word_at(past) in ENDS
        if deed.verb == "cancel" and not ended:
            line = [*past, *_stop(script, deed.at, line[len(past) :])]
        elif deed.verb == "resume" and word_at(past) in ("ERROR", "STOPPED"):
            line = [*past, *_run(script.model_copy(update={"outcome": "succeed"}), deed.at, _checkpoint(past))]
    return line


def word_at(past: list[Happening]) -> str:
    """The last status word of a timeline."""
    return next(happening.text for happening in reversed(past) if happening.kind == "state")


def _run(script: Script, start: float, done: int = 0) -> Iterator[Happening]:
    """One attempt, from the step after ``done``; a resumed one succeeds."""
    begin, end = start + script.queue_seconds, start + script.queue_seconds + script.run_seconds
    fails = script.outcome != "succeed"
    last = script.steps // 2 if fails else script.steps
    yield Happening(start, "state", "QUEUED")
    yield Happening(begin, "state", "RUNNING")
    yield Happening(begin, "log", f"training starts at step {done}")
    for step in range(done + 1, last + 1):
        at = begin + (end - begin) * (step - done) / (last - done)
        yield Happening(at, "metrics", step=step, metrics=metrics_at(script, step))
        if step in (script.steps // 4, last):
            yield Happening(at, "checkpoint", f"checkpoint at step {step}", step=step)
    yield Happening(end, "log", f"stopped by the script: {script.outcome}" if fails else "training has ended")
    yield Happening(end, "state", "ERROR" if fails else "COMPLETED")


def _stop(script: Script, at: float, future: list[Happening]) -> Iterator[Happening]:
    yield Happening(at, "state", "STOPPING")
    if script.ignore_cancel:
        yield from (happening for happening in future if happening.text not in ("QUEUED", "RUNNING"))
    else:
        yield Happening(at, "state", "STOPPED")


def _checkpoint(past: list[Happening]) -> int:
    return max((happening.step or 0 for happening in past if happening.kind == "checkpoint"), default=0)


def metrics_at(script: Script, step: int) -> dict[str, float]:
    """A loss that falls smoothly from about 2.4 to 0.6, and a learning rate that falls to 0."""
    share = step / script.steps
    return {"loss": round(0.6 + 1.8 * math.exp(-3 * share), 6), "learning_rate": round(2e-4 * (1 - share), 10)}
