"""``ftsdk logs`` and ``ftsdk events``: what a job has written, and what has happened to it."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.console import RenderableType

import ftsdk
from ftsdk.cli.arguments import Follow, Reference
from ftsdk.cli.command import CommandResult
from ftsdk.cli.console import Screen
from ftsdk.cli.interrupt import job_continues
from ftsdk.cli.job_rendering import event_line


def logs(ref: Reference, *, follow: Follow = False) -> CommandResult:
    """The job's lines of log."""
    lines = _stream(ref, ftsdk.logs(ref, follow=follow))
    return CommandResult(
        data=lambda: list(lines), show=lambda screen: _print_all(screen, (line.rstrip("\r\n") for line in lines))
    )


def events(
    ref: Reference,
    *,
    follow: Follow = False,
    after: Annotated[str | None, typer.Option(help="Only the events after this cursor.")] = None,
) -> CommandResult:
    """What has happened to a job, in order."""
    stream = _stream(ref, ftsdk.events(ref, after=after, follow=follow))
    return CommandResult(data=lambda: list(stream), show=lambda screen: _print_all(screen, map(event_line, stream)))


def _stream(ref: str, entries: Iterator[Any]) -> Iterator[Any]:
    """The same entries; Ctrl-C ends the stream with a message that the job goes on."""
    with job_continues(ref):
        yield from entries


def _print_all(screen: Screen, lines: Iterator[RenderableType]) -> None:
    for line in lines:
        screen.out.print(line)
