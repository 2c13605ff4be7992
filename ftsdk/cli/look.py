"""See how jobs are doing: status, jobs, logs, events."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType
from rich.text import Text

import ftsdk
from ftsdk.cli.arguments import Follow, Reference
from ftsdk.cli.command import Answer
from ftsdk.cli.console import Screen, pairs, table, words
from ftsdk.cli.interrupt import job_goes_on
from ftsdk.cli.next_steps import show_steps, steps_after
from ftsdk.cli.sanitize import one_line
from ftsdk.cli.units import clock, dollars, duration, metric, moment

if TYPE_CHECKING:
    from ftsdk.client import Job
    from ftsdk.job_types import Event, JobStatus
    from ftsdk.store.record import JobSummary

_COLORS = {"succeeded": "green", "failed": "red", "cancelled": "yellow", "unknown": "yellow", "running": "cyan"}


def status(ref: Reference) -> Answer:
    """Where a job is now."""
    job = ftsdk.Client().job(ref)
    return about(job, job.status())


def jobs(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1_000_000, help="How many of the newest.")] = 20,
) -> Answer:
    """The newest jobs, as last seen."""
    found = ftsdk.jobs(limit=limit)

    def show(screen: Screen) -> None:
        if not found:
            screen.err.print("No jobs yet. Start one: ftsdk init, then ftsdk submit job.yaml")
            return
        screen.out.print(table(("job", "state", "method", "model", "submitted", "name"), map(_job_row, found)))

    return Answer(data=lambda: found, show=show)


def logs(ref: Reference, *, follow: Follow = False) -> Answer:
    """What the job has written."""
    lines = watched(ref, ftsdk.logs(ref, follow=follow))
    return Answer(data=lambda: list(lines), show=lambda screen: _print_each(screen, map(one_line_of_log, lines)))


def events(
    ref: Reference,
    *,
    follow: Follow = False,
    after: Annotated[str | None, typer.Option(help="Only what came behind this cursor.")] = None,
) -> Answer:
    """What has happened to a job, in order."""
    found = watched(ref, ftsdk.events(ref, after=after, follow=follow))
    return Answer(data=lambda: list(found), show=lambda screen: _print_each(screen, map(event_line, found)))


def about(job: "Job", found: "JobStatus") -> Answer:
    """The answer of each verb that ends with a job's status."""

    def show(screen: Screen) -> None:
        screen.out.print(pairs(_status_rows(job.ref, found)))
        show_steps(screen, job.ref, steps_after(found.state))

    return Answer(data=lambda: {"ref": job.ref, **found.model_dump(mode="json")}, show=show)


def watched(ref: str, items: Iterator[Any]) -> Iterator[Any]:
    """The same items; Ctrl-C ends the watching, and says that the job goes on."""
    with job_goes_on(ref):
        yield from items


def one_line_of_log(line: str) -> str:
    """A line of log without its end."""
    return line.rstrip("\r\n")


def event_line(event: "Event") -> Text:
    """An event on one line."""
    values = ", ".join(f"{name} {metric(value)}" for name, value in event.metrics.items())
    step = "" if event.step is None else f"step {event.step}"
    text = "  ".join(part for part in (step, happening(event), values) if part)
    return words(f"{clock(event.time)}  {event.kind:<10}  {text}", "yellow" if event.kind == "warning" else "")


def happening(event: "Event") -> str:
    """What happened, on one line: the new state in our word, then the message."""
    return "  ".join(part for part in (event.state or "", one_line(event.message)) if part)


def _print_each(screen: Screen, lines: Iterator[RenderableType]) -> None:
    for line in lines:
        screen.out.print(line)


def _job_row(job: "JobSummary") -> tuple[RenderableType, ...]:
    return (job.ref, _state(job.state), job.method, job.model, moment(job.created), job.name or "")


def _state(state: str) -> Text:
    return words(state, _COLORS.get(state, ""))


_NOTED = ("price", "differs")
"""Facts of a submission that a reader wants to see; ``--json`` has all."""


def _status_rows(ref: str, found: "JobStatus") -> Iterator[tuple[str, RenderableType]]:
    """What is known, and nothing else."""
    steps = f"{found.step} of {found.total_steps}" if found.step is not None and found.total_steps else ""
    share = f"{found.progress:.0%}" if found.progress is not None else ""
    rows: tuple[tuple[str, RenderableType], ...] = (
        ("job", ref),
        ("state", _state(found.state)),
        ("stage", "" if found.state.done else found.stage),
        ("reason", found.reason.value if found.reason else ""),
        ("message", found.message),
        ("step", "  ".join(part for part in (steps, share) if part)),
        ("metrics", ", ".join(f"{name} {metric(value)}" for name, value in found.metrics.items())),
        ("time left", "" if found.eta_seconds is None or found.state.done else duration(found.eta_seconds)),
        ("cost", "" if found.cost is None else dollars(found.cost)),
        *((name, found.facts.get(name, "")) for name in _NOTED),
        ("next", found.hint),
    )
    yield from ((label, value) for label, value in rows if value)
    yield from (("warning", words(warning, "yellow")) for warning in found.warnings)
