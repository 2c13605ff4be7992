"""The process that does a local job: ``python -P -m ftsdk_local.worker FOLDER``."""

import sys

from ftsdk.backend import Plan
from ftsdk.job_folder import JobFolder
from ftsdk.workers import worker
from ftsdk.workers.event_writer import EventWriter
from ftsdk.workers.signal_handler import Stop


def run(folder: JobFolder, plan: Plan, reporter: EventWriter, stop: Stop) -> None:
    """Train."""
    # Imported only once the device is free: torch takes seconds and memory, also in workers that wait in the queue.
    from ftsdk_local.train.run import run as train  # noqa: PLC0415

    train(folder, plan, reporter, stop)


if __name__ == "__main__":
    sys.exit(worker.main(sys.argv[1:], run))
