"""What Jobs and Spaces share as services that create paid jobs, for the rules in :mod:`ftsdk.remote.backend`."""

import functools
from abc import abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, TypeVar

from ftsdk.artifact import Artifact, place
from ftsdk.errors import JobNotReady
from ftsdk.huggingface import monitor
from ftsdk.huggingface.connection import Hub
from ftsdk.huggingface.errors import ERROR_MAPPER
from ftsdk.huggingface.execution import RemoteExecution
from ftsdk.huggingface.reports import ReportReader
from ftsdk.huggingface.results import JobResult, find_result
from ftsdk.job_types import Event, JobRef, JobState, JobStatus
from ftsdk.remote.backend import RemoteService, ServiceJob

Request = TypeVar("Request")


class HubService(RemoteService[Request]):
    """Jobs or Spaces over one connection, as one backend uses them.

    Args:
        hub: The connection.
    """

    title = "Hugging Face"
    error_mapper = ERROR_MAPPER
    backend: ClassVar[str]
    """The backend's name."""
    id_prefix: ClassVar[str] = ""
    """What the backend puts before the service's ids, to tell its services apart."""

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub.timing)
        self.hub = hub

    @abstractmethod
    def execution(self, native_id: str) -> RemoteExecution:
        """The Job or Space.

        Raises:
            JobNotFound: The id is not valid.
        """

    @abstractmethod
    def report_reader(self, execution: RemoteExecution) -> ReportReader:
        """How the reports of the backend's engine are read."""

    @abstractmethod
    def fill(self, result: JobResult, ref: str, folder: Path) -> None:
        """Download the artifact and seal it.

        Args:
            result: The job's results.
            ref: The job, for the manifest.
            folder: An empty folder.
        """

    def observe(self, native_id: str) -> ServiceJob:
        """Ask for the Job or Space, and where it may outlive its job, for the results."""
        execution = self.execution(native_id)
        current = execution.inspect()
        # A Space with results only waits to be paused: to cancel it would replace the results by "cancelled".
        has_results = monitor.find_current_result(self.hub, execution, current) is not None
        return ServiceJob(native_id, JobState.SUCCEEDED if has_results else current.state)

    def stop(self, native_id: str) -> None:
        """End it before its time."""
        self.execution(native_id).stop()

    def status(self, native_id: str) -> JobStatus:
        """From the machine, the end of the log, and the results."""
        execution = self.execution(native_id)
        return monitor.status(self.hub, execution, self.report_reader(execution))

    def events(self, native_id: str, after: str | None) -> Iterable[Event]:
        """From the machine and the log."""
        execution = self.execution(native_id)
        return monitor.events(self.hub, execution, self.report_reader(execution), after)

    def fetch(self, native_id: str, folder: Path) -> Artifact:
        """Download the artifact.

        Raises:
            JobNotReady: The job has no artifact, or none yet.
            ArtifactError: The artifact is damaged or unsafe.
        """
        execution = self.execution(native_id)
        current = monitor.status(self.hub, execution, self.report_reader(execution))
        succeeded = current.state is JobState.SUCCEEDED
        result = find_result(self.hub, execution.inspect().repository) if succeeded else None
        ref = str(JobRef(self.backend, f"{self.id_prefix}{native_id}"))
        if result is None:
            raise JobNotReady(f"{ref} is {current.state.value}: it has no artifact", ref=ref, hint=current.hint)
        return place(functools.partial(self.fill, result, ref), folder)
