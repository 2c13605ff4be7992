"""``ftsdk jobs``: the newest jobs."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType

import ftsdk
from ftsdk.cli.command import CommandResult
from ftsdk.cli.console import Screen, table
from ftsdk.cli.job_rendering import state_text
from ftsdk.cli.units import local_minute

if TYPE_CHECKING:
    from ftsdk.store.record import JobSummary

_HEADINGS = ("job", "state", "method", "model", "submitted", "name")


def jobs(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1_000_000, help="How many of the newest.")] = 20,
) -> CommandResult:
    """The newest jobs, in their last known state."""
    summaries = ftsdk.jobs(limit=limit)

    def show(screen: Screen) -> None:
        if not summaries:
            screen.err.print("No jobs yet. Start one: ftsdk init, then ftsdk submit job.yaml")
            return
        screen.out.print(table(_HEADINGS, map(_row, summaries)))

    return CommandResult(data=lambda: summaries, show=show)


def _row(job: "JobSummary") -> tuple[RenderableType, ...]:
    return (job.ref, state_text(job.state), job.method, job.model, local_minute(job.created), job.name or "")
