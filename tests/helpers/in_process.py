"""A whole local job in the test's own process, where the libraries are imported already."""

import warnings
from pathlib import Path

from ftsdk import JobSpec
from ftsdk.client.planning import check_rows
from ftsdk.job_folder import JobFolder
from ftsdk.workers.event_writer import EventWriter
from ftsdk.workers.hardware import device
from ftsdk_local import translate
from ftsdk_local.train.run import run


class _Never:
    """The wish to stop that nobody has."""

    requested, why = False, None


def trained(spec: JobSpec, place: Path) -> Path:
    """The artifact of a job on the CPU.

    Args:
        spec: What is trained.
        place: The job's folder, which is made.
    """
    folder = JobFolder(place)
    folder.path.mkdir()
    plan = translate.plan(spec, device("cpu"))
    reporter = EventWriter(folder)
    with warnings.catch_warnings(action="ignore"):  # the libraries warn of each other's changes
        try:
            run(folder, plan.model_copy(update={"data": check_rows(spec)}), reporter, _Never())
        finally:
            reporter.close()
    return folder.artifact
