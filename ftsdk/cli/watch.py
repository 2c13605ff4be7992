"""Stay with a job to its end: one progress bar where there is a terminal, a line now and then where there is none."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

import ftsdk
from ftsdk.cli.console import words
from ftsdk.cli.interrupt import job_goes_on
from ftsdk.cli.look import happening
from ftsdk.cli.units import duration, metric

if TYPE_CHECKING:
    from ftsdk.job_types import Event, JobStatus

_LOOK_EVERY = 1.0  # seconds between two questions for steps and time left
_LINE_EVERY = 5.0  # seconds between two lines where no bar can be drawn
_SHOWN = {
    "loss": "loss {}",
    "eval_loss": "held-out loss {}",
    "reward": "reward {}",
    "eval_reward": "held-out reward {}",
    "kl": "KL {}",
    "tokens_per_second": "{} tokens/s",
}
_NOTICES = {"warning": "yellow", "checkpoint": "dim", "sample": "", "state": "bold"}


@dataclass
class View:
    """What is known about a job that is being watched."""

    metrics: dict[str, float] = field(default_factory=dict)
    step: int = 0
    total: int | None = None
    eta: float | None = None
    warnings: tuple[str, ...] = ()

    def take_event(self, event: "Event") -> None:
        """Learn from an event."""
        self.metrics |= event.metrics
        self.step = event.step or self.step

    def take_status(self, status: "JobStatus") -> list[str]:
        """Learn from a status, and give its warnings that are new."""
        new = [warning for warning in status.warnings if warning not in self.warnings]
        self.metrics |= status.metrics
        self.step, self.total, self.eta = status.step or self.step, status.total_steps, status.eta_seconds
        self.warnings = status.warnings
        return new

    @property
    def share(self) -> float:
        """Share done, from 0 to 1."""
        return self.step / self.total if self.total else 0.0

    def __str__(self) -> str:
        """Such as ``step 120/400  loss 1.234  5,321 tokens/s  3m 20s left``."""
        steps = f"step {self.step}" + (f"/{self.total}" if self.total else "")
        return "  ".join([steps, *figures(self.metrics), *([f"{duration(self.eta)} left"] if self.eta else [])])


def figures(metrics: Mapping[str, float]) -> list[str]:
    """The metrics that tell whether training goes well."""
    return [shape.format(metric(metrics[name])) for name, shape in _SHOWN.items() if name in metrics]


def watch(console: Console, ref: str, timeout: float | None = None) -> "JobStatus":
    """Show a job's progress until it has succeeded.

    Raises:
        JobError: It did not succeed, or the time is over.
        Interrupted: Somebody pressed Ctrl-C; the job goes on.
    """
    view, due = View(), every(_LOOK_EVERY)

    def look() -> "JobStatus":
        status = ftsdk.status(ref)
        for warning in view.take_status(status):
            console.print(words(f"warning: {warning}", "yellow"))
        return status

    def on_event(event: "Event") -> None:
        view.take_event(event)
        if due():
            look()
        draw(event)

    if not (status := look()).state.done:
        console.print(f"{ref} is {status}" + (f" -> {status.hint}" if status.hint else ""), style="dim")
    with job_goes_on(ref), _drawing(console, view) as draw:
        return ftsdk.wait(ref, timeout=timeout, on_event=on_event)


def every(seconds: float, now: Callable[[], float] = time.monotonic) -> Callable[[], bool]:
    """Tells whether it is time again: at once, and then so many seconds after the last yes."""
    last = -math.inf

    def due() -> bool:
        nonlocal last
        moment = now()
        if moment - last < seconds:
            return False
        last = moment
        return True

    return due


@contextmanager
def _drawing(console: Console, view: View) -> Iterator[Callable[["Event"], None]]:
    """Gives what shows the view after an event."""
    if not console.is_terminal:
        yield _lines(console, view)
        return
    columns = (BarColumn(bar_width=30), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console, transient=True, refresh_per_second=4) as progress:
        task = progress.add_task("waiting for the first step", total=1.0)

        def draw(event: "Event") -> None:
            _notice(console, event)
            progress.update(task, completed=view.share, description=str(view))

        yield draw


def _lines(console: Console, view: View) -> Callable[["Event"], None]:
    due = every(_LINE_EVERY)

    def draw(event: "Event") -> None:
        _notice(console, event)
        if event.kind == "metrics" and due():
            console.print(str(view))

    return draw


def _notice(console: Console, event: "Event") -> None:
    """Show what is worth a line of its own."""
    if event.kind in _NOTICES:
        console.print(words(f"{event.kind}: {happening(event)}", _NOTICES[event.kind]))
