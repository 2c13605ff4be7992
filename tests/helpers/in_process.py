"""A complete local job in the test's process, where the libraries are imported already."""

import warnings
from pathlib import Path

from ftsdk import JobSpec
from ftsdk.client.planning import check_rows
from ftsdk.job_folder import JobFolder
from ftsdk.workers.event_writer import EventWriter
from ftsdk.workers.hardware import device
from ftsdk.workers.signal_handler import Stop
from ftsdk_local import translate
from ftsdk_local.train.run import run


def trained(spec: JobSpec, place: Path) -> Path:
    """The artifact of a job on the CPU.

    Args:
        spec: The job.
        place: The job's folder, which is created.
    """
    folder = JobFolder(place)
    folder.path.mkdir()
    plan = translate.plan(spec, device("cpu"))
    reporter = EventWriter(folder)
    with warnings.catch_warnings(action="ignore"):  # the libraries warn of each other's changes
        try:
            run(folder, plan.model_copy(update={"data": check_rows(spec)}), reporter, Stop())
        finally:
            reporter.close()
    return folder.artifact
