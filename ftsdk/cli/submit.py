"""``ftsdk submit``: start a job."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

import ftsdk
from ftsdk.cli.arguments import BackendName, Overrides, SpecFile, Strict
from ftsdk.cli.command import CommandResult
from ftsdk.cli.spec_input import read_spec, remark
from ftsdk.cli.started_job import follow_result, started_result


def submit(
    spec: SpecFile,
    overrides: Overrides = None,
    *,
    follow: Annotated[
        bool, typer.Option("--follow/--detach", "-f/-d", help="Stay until the job ends, or return at once.")
    ] = False,
    backend: BackendName = None,
    key: Annotated[str | None, typer.Option(help="Your name for this submission: twice the same, one job.")] = None,
    strict: Strict = False,
) -> CommandResult:
    """Start a job and print its reference."""
    client = ftsdk.Client()
    job = client.submit(read_spec(spec, overrides), backend=backend, key=key, strict=strict)
    _show_remarks(client.store.get(job.id).plan)
    return follow_result(job, announce=True) if follow else started_result(job)


def _show_remarks(plan: Mapping[str, Any]) -> None:
    """Print the advice that a plan ignores, and its warnings."""
    for field, reason in plan.get("set_aside", ()):
        remark(f"ignored: {field}: {reason}")
    for warning in plan.get("warnings", ()):
        remark(f"warning: {warning}")
