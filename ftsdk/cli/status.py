"""``ftsdk status``: the state of one job."""

import ftsdk
from ftsdk.cli.arguments import Reference
from ftsdk.cli.command import CommandResult
from ftsdk.cli.job_rendering import status_result


def status(ref: Reference) -> CommandResult:
    """The present state of a job."""
    job = ftsdk.Client().job(ref)
    return status_result(job, job.status())
