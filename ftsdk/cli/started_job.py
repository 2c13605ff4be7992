"""The result of a command that starts or follows a job: submit, resume, wait."""

from typing import TYPE_CHECKING, Any

from ftsdk.cli.command import CommandResult
from ftsdk.cli.console import Screen
from ftsdk.cli.interrupt import job_continues
from ftsdk.cli.job_rendering import status_result
from ftsdk.cli.next_steps import AFTER_SUBMISSION, show_steps
from ftsdk.cli.progress import watch

if TYPE_CHECKING:
    from ftsdk.client import Job


def started_result(job: "Job") -> CommandResult:
    """The job's reference, and the commands that make sense next."""

    def show(screen: Screen) -> None:
        screen.out.print(job.ref)
        show_steps(screen, job.ref, AFTER_SUBMISSION)

    return CommandResult(data=lambda: {"ref": job.ref}, show=show)


def follow_result(job: "Job", timeout: float | None = None, *, announce: bool = False) -> CommandResult:
    """Follow the job to its end, and give its last status.

    Args:
        job: The job.
        timeout: Seconds after which to give up; the job goes on. None: never.
        announce: Print the reference first.
    """

    def data() -> dict[str, Any]:
        with job_continues(job.ref):
            return {"ref": job.ref, **job.wait(timeout=timeout).model_dump(mode="json")}

    def show(screen: Screen) -> None:
        if announce:
            screen.out.print(job.ref)
        status_result(job, watch(screen.err, job.ref, timeout)).show(screen)

    return CommandResult(data, show)
