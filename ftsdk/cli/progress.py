"""Show a job's progress to its end: a progress bar on a terminal, else a line every few seconds."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

import ftsdk
from ftsdk.cli.console import styled
from ftsdk.cli.interrupt import job_continues
from ftsdk.cli.job_rendering import event_text
from ftsdk.cli.units import duration, metric

if TYPE_CHECKING:
    from ftsdk.job_types import Event, JobStatus

_STATUS_SECONDS = 1.0
"""Between two requests for steps and time left."""
_LINE_SECONDS = 5.0
"""Between two lines where there is no terminal for a progress bar."""
_METRICS = {
    "loss": "loss {}",
    "eval_loss": "held-out loss {}",
    "reward": "reward {}",
    "eval_reward": "held-out reward {}",
    "kl": "KL {}",
    "tokens_per_second": "{} tokens/s",
}
_EVENT_STYLES = {"warning": "yellow", "checkpoint": "dim", "sample": "", "state": "bold"}


@dataclass
class JobProgress:
    """The latest progress of a job."""

    metrics: dict[str, float] = field(default_factory=dict)
    step: int = 0
    total: int | None = None
    eta: float | None = None
    warnings: tuple[str, ...] = ()

    def add_event(self, event: "Event") -> None:
        """Take over an event's metrics and step."""
        self.metrics |= event.metrics
        self.step = event.step or self.step

    def update(self, status: "JobStatus") -> list[str]:
        """Take over a status; returns its warnings that are new."""
        new = [warning for warning in status.warnings if warning not in self.warnings]
        self.metrics |= status.metrics
        self.step, self.total, self.eta = status.step or self.step, status.total_steps, status.eta_seconds
        self.warnings = status.warnings
        return new

    @property
    def share(self) -> float:
        """The completed share, from 0 to 1."""
        return self.step / self.total if self.total else 0.0

    def __str__(self) -> str:
        """Such as ``step 120/400  loss 1.234  5,321 tokens/s  3m 20s left``."""
        steps = f"step {self.step}" + (f"/{self.total}" if self.total else "")
        return "  ".join([steps, *metric_texts(self.metrics), *([f"{duration(self.eta)} left"] if self.eta else [])])


def metric_texts(metrics: Mapping[str, float]) -> list[str]:
    """The metrics that show whether training goes well, with their names."""
    return [text.format(metric(metrics[name])) for name, text in _METRICS.items() if name in metrics]


def watch(console: Console, ref: str, timeout: float | None = None) -> "JobStatus":
    """Show a job's progress until it has succeeded.

    Raises:
        JobError: It did not succeed, or the time is over.
        Interrupted: The user pressed Ctrl-C; the job goes on.
    """
    progress, status_due = JobProgress(), every(_STATUS_SECONDS)

    def refresh() -> "JobStatus":
        status = ftsdk.status(ref)
        for warning in progress.update(status):
            console.print(styled(f"warning: {warning}", "yellow"))
        return status

    def on_event(event: "Event") -> None:
        progress.add_event(event)
        if status_due():
            refresh()
        draw(event)

    if not (status := refresh()).state.done:
        console.print(f"{ref} is {status}" + (f" -> {status.hint}" if status.hint else ""), style="dim")
    with job_continues(ref), _display(console, progress) as draw:
        return ftsdk.wait(ref, timeout=timeout, on_event=on_event)


def every(seconds: float, now: Callable[[], float] = time.monotonic) -> Callable[[], bool]:
    """A function that returns True at once, and then at most once in so many seconds."""
    latest = -math.inf

    def due() -> bool:
        nonlocal latest
        time_now = now()
        if time_now - latest < seconds:
            return False
        latest = time_now
        return True

    return due


@contextmanager
def _display(console: Console, progress: JobProgress) -> Iterator[Callable[["Event"], None]]:
    """Gives a function that shows the progress after an event."""
    if not console.is_terminal:
        yield _print_lines(console, progress)
        return
    columns = (BarColumn(bar_width=30), TextColumn("{task.description}", markup=False))
    # A thread of Rich redraws the bar. Lines go through the same console, which prints them above the bar; transient
    # removes the bar in the end, so that it does not stay in the scrollback beside the final status.
    with Progress(*columns, console=console, transient=True, refresh_per_second=4) as bar:
        task = bar.add_task("waiting for the first step", total=1.0)

        def draw(event: "Event") -> None:
            _print_notable(console, event)
            bar.update(task, completed=progress.share, description=str(progress))

        yield draw


def _print_lines(console: Console, progress: JobProgress) -> Callable[["Event"], None]:
    due = every(_LINE_SECONDS)

    def draw(event: "Event") -> None:
        _print_notable(console, event)
        if event.kind == "metrics" and due():
            console.print(str(progress))

    return draw


def _print_notable(console: Console, event: "Event") -> None:
    """Print an event that deserves a line of its own."""
    if event.kind in _EVENT_STYLES:
        console.print(styled(f"{event.kind}: {event_text(event)}", _EVENT_STYLES[event.kind]))
