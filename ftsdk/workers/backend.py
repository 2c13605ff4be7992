"""A backend whose jobs run on this machine, in detached workers."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar

from ftsdk.artifact import Artifact, place
from ftsdk.backend import Backend, Plan, Record
from ftsdk.errors import JobNotReady, RejectedError
from ftsdk.job_types import Event, JobState, JobStatus
from ftsdk.translation.model_folder_checks import check_trainable
from ftsdk.workers import driver
from ftsdk.workers.event_writer import read_events
from ftsdk.workers.status import observe


class WorkerBackend(Backend):
    """Runs each job in a process of its own; jobs that want the same device queue for it, whatever their backend.

    A backend of this kind has a module that runs a job, by way of :func:`ftsdk.workers.worker.main`.
    """

    pause = 0.1  # a status costs no more than reading a folder
    worker: ClassVar[str]
    """The module that runs a job, as ``python -m`` takes it. Jobs resume with the module of the installed version."""

    @property
    def command(self) -> Sequence[str]:
        """The command that starts a worker."""
        # -P: without it, Python would import modules from the folder that the user happens to be in.
        return (sys.executable, "-P", "-m", self.worker)

    def submit(self, plan: Plan, token: str, record: Record) -> str:  # noqa: ARG002 - the folder records everything
        """Create the job's folder and start its worker."""
        if problems := self.check():
            problem_list = "; ".join(f"{problem.where} {problem.what}" for problem in problems)
            raise RejectedError(f"{self.name} jobs cannot run here: {problem_list}", hint=problems[0].fix)
        check_trainable(plan.spec.model)
        return driver.submit(plan, token, self.command)

    def find(self, token: str, plan: Plan) -> str | None:
        """Look for the folder."""
        return driver.find(token, plan)

    def status(self, native_id: str) -> JobStatus:
        """Read the folder."""
        return observe(driver.job_folder(self.name, native_id))

    def events(self, native_id: str, after: str | None = None) -> Iterable[Event]:
        """Read ``events.jsonl``; a cursor is a number of bytes."""
        return read_events(driver.job_folder(self.name, native_id).events, after)

    def cancel(self, native_id: str) -> None:
        """Let the worker finish its step and save; called again, kill it."""
        driver.cancel(driver.job_folder(self.name, native_id))

    def resume(self, native_id: str) -> None:
        """Start another worker on the same folder."""
        driver.resume(driver.job_folder(self.name, native_id), self.command)

    def fetch(self, native_id: str, folder: Path) -> Artifact:
        """Copy the artifact out of the job's folder, verified."""
        job = driver.job_folder(self.name, native_id)
        status = observe(job)
        if status.state is not JobState.SUCCEEDED:
            raise JobNotReady(f"{job.ref} is {status.state.value}: it has no artifact yet")
        return place(job.artifact, folder)
