"""``ftsdk wait``: follow a job to its end."""

from typing import Annotated

import typer

import ftsdk
from ftsdk.cli.arguments import Reference
from ftsdk.cli.command import CommandResult
from ftsdk.cli.started_job import follow_result


def wait(
    ref: Reference,
    *,
    timeout: Annotated[
        float | None, typer.Option(min=0, help="Seconds after which to give up; the job goes on.")
    ] = None,
) -> CommandResult:
    """Follow a job to its end; exit 0 if it succeeded, else 1."""
    return follow_result(ftsdk.Client().job(ref), timeout)
