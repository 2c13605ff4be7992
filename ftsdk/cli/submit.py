"""Send jobs and steer them: submit, wait, cancel, resume."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

import ftsdk
from ftsdk.cli.arguments import BackendName, Overrides, Reference, SpecFile, Strict
from ftsdk.cli.command import Answer
from ftsdk.cli.console import Screen
from ftsdk.cli.interrupt import job_goes_on
from ftsdk.cli.look import about
from ftsdk.cli.next_steps import show_steps
from ftsdk.cli.spec_input import read_spec, remark
from ftsdk.cli.watch import watch

if TYPE_CHECKING:
    from ftsdk.client import Job

_STEPS = ("follow", "status", "logs", "cancel", "fetch")


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
) -> Answer:
    """Start a job and print its reference."""
    client = ftsdk.Client()
    job = client.submit(read_spec(spec, overrides), backend=backend, key=key, strict=strict)
    _remark_on(client.store.get(job.id).plan)
    return _followed(job, announce=True) if follow else _started(job)


def wait(
    ref: Reference,
    *,
    timeout: Annotated[
        float | None, typer.Option(min=0, help="Seconds after which to give up; the job goes on.")
    ] = None,
) -> Answer:
    """Follow a job to its end; exit 0 if it succeeded, else 1."""
    return _followed(ftsdk.Client().job(ref), timeout)


def cancel(ref: Reference) -> Answer:
    """Ask a job to stop; its last checkpoint is kept."""
    job = ftsdk.Client().job(ref)
    return about(job, job.cancel())


def resume(ref: Reference) -> Answer:
    """Go on from a job's last good checkpoint."""
    return _started(ftsdk.resume(ref))


def _remark_on(plan: Mapping[str, Any]) -> None:
    """Tell what a plan does not follow, and what it warns of."""
    for field, why in plan.get("set_aside", ()):
        remark(f"set aside: {field}: {why}")
    for warning in plan.get("warnings", ()):
        remark(f"warning: {warning}")


def _started(job: "Job") -> Answer:
    def show(screen: Screen) -> None:
        screen.out.print(job.ref)
        show_steps(screen, job.ref, _STEPS)

    return Answer(data=lambda: {"ref": job.ref}, show=show)


def _followed(job: "Job", timeout: float | None = None, *, announce: bool = False) -> Answer:
    def data() -> dict[str, Any]:
        with job_goes_on(job.ref):
            return {"ref": job.ref, **job.wait(timeout=timeout).model_dump(mode="json")}

    def show(screen: Screen) -> None:
        if announce:
            screen.out.print(job.ref)
        about(job, watch(screen.err, job.ref, timeout)).show(screen)

    return Answer(data, show)
