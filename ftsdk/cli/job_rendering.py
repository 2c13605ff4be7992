"""How a job's status and events are shown, by every command that shows them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from ftsdk.cli.command import CommandResult
from ftsdk.cli.console import Screen, pairs, styled
from ftsdk.cli.next_steps import show_steps, steps_after
from ftsdk.cli.sanitize import one_line
from ftsdk.cli.units import dollars, duration, local_second, metric

if TYPE_CHECKING:
    from ftsdk.client import Job
    from ftsdk.job_types import Event, JobStatus

_COLORS = {"succeeded": "green", "failed": "red", "cancelled": "yellow", "unknown": "yellow", "running": "cyan"}
_SHOWN_FACTS = ("price", "differs")
"""Facts of a submission that the page shows; ``--json`` has all."""


def status_result(job: "Job", status: "JobStatus") -> CommandResult:
    """The result of each command that ends with a job's status."""

    def show(screen: Screen) -> None:
        screen.out.print(pairs(_status_rows(job.ref, status)))
        show_steps(screen, job.ref, steps_after(status.state))

    return CommandResult(data=lambda: {"ref": job.ref, **status.model_dump(mode="json")}, show=show)


def state_text(state: str) -> Text:
    """A state in its color."""
    return styled(state, _COLORS.get(state, ""))


def event_line(event: "Event") -> Text:
    """An event on one line."""
    values = ", ".join(f"{name} {metric(value)}" for name, value in event.metrics.items())
    step = "" if event.step is None else f"step {event.step}"
    text = "  ".join(part for part in (step, event_text(event), values) if part)
    return styled(f"{local_second(event.time)}  {event.kind:<10}  {text}", "yellow" if event.kind == "warning" else "")


def event_text(event: "Event") -> str:
    """An event's new state and message, on one line."""
    return "  ".join(part for part in (event.state or "", one_line(event.message)) if part)


def _status_rows(ref: str, status: "JobStatus") -> Iterator[tuple[str, RenderableType]]:
    """The rows that have a value."""
    steps = f"{status.step} of {status.total_steps}" if status.step is not None and status.total_steps else ""
    share = f"{status.progress:.0%}" if status.progress is not None else ""
    rows: tuple[tuple[str, RenderableType], ...] = (
        ("job", ref),
        ("state", state_text(status.state)),
        ("stage", "" if status.state.done else status.stage),
        ("reason", status.reason.value if status.reason else ""),
        ("message", status.message),
        ("step", "  ".join(part for part in (steps, share) if part)),
        ("metrics", ", ".join(f"{name} {metric(value)}" for name, value in status.metrics.items())),
        ("time left", "" if status.eta_seconds is None or status.state.done else duration(status.eta_seconds)),
        ("cost", "" if status.cost is None else dollars(status.cost)),
        *((name, status.facts.get(name, "")) for name in _SHOWN_FACTS),
        ("next", status.hint),
    )
    yield from ((label, value) for label, value in rows if value)
    yield from (("warning", styled(warning, "yellow")) for warning in status.warnings)
