"""``ftsdk cancel`` and ``ftsdk resume``: stop a job, and continue it."""

import ftsdk
from ftsdk.cli.arguments import Reference
from ftsdk.cli.command import CommandResult
from ftsdk.cli.job_rendering import status_result
from ftsdk.cli.started_job import started_result


def cancel(ref: Reference) -> CommandResult:
    """Ask a job to stop; its last checkpoint is kept."""
    job = ftsdk.Client().job(ref)
    return status_result(job, job.cancel())


def resume(ref: Reference) -> CommandResult:
    """Continue from a job's last good checkpoint."""
    return started_result(ftsdk.resume(ref))
