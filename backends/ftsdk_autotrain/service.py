"""Jobs and Spaces that run AutoTrain, for the rules in :mod:`ftsdk.remote.backend`."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ftsdk.backend import Plan, Record
from ftsdk.errors import JobNotFound
from ftsdk.huggingface.connection import Hub
from ftsdk.huggingface.container import TASK
from ftsdk.huggingface.execution import RemoteExecution
from ftsdk.huggingface.jobs import JobsService, LaunchRequest
from ftsdk.huggingface.reports import ReportReader
from ftsdk.huggingface.results import JobResult
from ftsdk.huggingface.service import HubService
from ftsdk.huggingface.spaces import SpaceRequest, SpacesService
from ftsdk.huggingface.staging import stage
from ftsdk_autotrain import hosted
from ftsdk_autotrain.translate import NAME

JOBS, SPACES = "jobs/", "spaces/"
"""Begin the native ids of hosted jobs, as on Hugging Face's own pages."""


class AutoTrainJobs(JobsService):
    """Jobs that run AutoTrain.

    Args:
        hub: The connection.
        folder: An empty folder for the files of a request.
    """

    backend = NAME
    id_prefix = JOBS

    def __init__(self, hub: Hub, folder: Path) -> None:
        super().__init__(hub)
        self._folder = folder

    def prepare(self, plan: Plan, token: str, record: Record) -> LaunchRequest:
        """Commit the request to the job's repository."""
        store = hosted.make_store(self.hub, plan, token, record)
        revision = stage(self.hub, store, hosted.request_contents(plan, store, self._folder))
        record(revision=revision)
        return LaunchRequest.of(plan.native, hosted.environment(plan), store, revision)

    def report_reader(self, execution: RemoteExecution) -> ReportReader:
        """The reader of AutoTrain's log and of its runner's outcome."""
        return hosted.report_reader(self.hub, execution)

    def fill(self, result: JobResult, ref: str, folder: Path) -> None:
        """Build the artifact from AutoTrain's output."""
        hosted.fetch_artifact(self.hub, result, ref, folder)


class AutoTrainSpaces(SpacesService):
    """Spaces that run AutoTrain.

    Args:
        hub: The connection.
        folder: An empty folder for the files of a request.
    """

    backend = NAME
    id_prefix = SPACES

    def __init__(self, hub: Hub, folder: Path) -> None:
        super().__init__(hub)
        self._folder = folder

    def name(self, plan: Plan, token: str) -> str:
        """That of the job's repository."""
        return hosted.store_name(plan, token)

    def prepare(self, plan: Plan, token: str, record: Record) -> SpaceRequest:
        """Commit the task to the job's repository, and collect the files for the Space."""
        store = hosted.make_store(self.hub, plan, token, record)
        contents = hosted.request_contents(plan, store, self._folder)
        # Also beside the results, where it is read from: the Space itself may be deleted before they are fetched.
        stage(self.hub, store, {TASK: contents[TASK]})
        native = plan.native
        return SpaceRequest(
            name=store,
            image=native["image"],
            hardware=native["flavor"],
            sleep_seconds=native["seconds"],
            environment=hosted.environment(plan),
            secrets=native["secrets"],
            contents=contents,
        )

    def report_reader(self, execution: RemoteExecution) -> ReportReader:
        """The reader of AutoTrain's log and of its runner's outcome."""
        return hosted.report_reader(self.hub, execution)

    def fill(self, result: JobResult, ref: str, folder: Path) -> None:
        """Build the artifact from AutoTrain's output."""
        hosted.fetch_artifact(self.hub, result, ref, folder)


_SERVICES: dict[str, type[AutoTrainJobs] | type[AutoTrainSpaces]] = {JOBS: AutoTrainJobs, SPACES: AutoTrainSpaces}


@contextmanager
def open_service(hub: Hub, id_prefix: str) -> Iterator[HubService[Any]]:
    """The service of Jobs or of Spaces, with a temporary folder for the files of a request.

    Args:
        hub: The connection.
        id_prefix: :data:`JOBS` or :data:`SPACES`.
    """
    with tempfile.TemporaryDirectory(prefix="ftsdk-autotrain-") as folder:
        yield _SERVICES[id_prefix](hub, Path(folder))


def is_hosted(native_id: str) -> bool:
    """Whether a job runs at Hugging Face."""
    return native_id.startswith((JOBS, SPACES))


def split_id(native_id: str) -> tuple[str, str]:
    """The prefix of a hosted job's id, and the id of its Job or Space.

    Raises:
        JobNotFound: The id is not that of a hosted job.
    """
    for prefix in _SERVICES:
        if native_id.startswith(prefix):
            return prefix, native_id.removeprefix(prefix)
    raise JobNotFound(f"{native_id!r} is no hosted AutoTrain job", hint="ftsdk jobs lists yours")
