"""Together as a service that creates paid jobs: who does what, for the rules in :mod:`ftsdk.remote.backend`."""

from collections.abc import Iterable
from pathlib import Path

from ftsdk.artifact import Artifact
from ftsdk.backend import Plan, Record
from ftsdk.job_types import Event, JobStatus
from ftsdk.remote.backend import RemoteService, ServiceJob
from ftsdk_together import fetch, monitor, submit
from ftsdk_together.api import Json, TogetherApi
from ftsdk_together.errors import ERROR_MAPPER


class TogetherService(RemoteService[Json]):
    """Together over one connection.

    Args:
        api: The connection.
    """

    title = "Together"
    job_list = "Together's own page of jobs"
    error_mapper = ERROR_MAPPER
    resends_creation = True

    def __init__(self, api: TogetherApi) -> None:
        super().__init__(api.timing)
        self._api = api

    def prepare(self, plan: Plan, token: str, record: Record) -> Json:
        """Upload the rows, ask the price, and make the body of the creation."""
        return submit.prepare(self._api, plan, token, record)

    def create(self, request: Json, plan: Plan, token: str, record: Record) -> str | None:  # noqa: ARG002 - in the request
        """Create the job."""
        return submit.create(self._api, request, record)

    def find_job(self, plan: Plan, token: str, request: Json | None) -> str | None:  # noqa: ARG002 - the token is enough
        """Look for the token in the suffixes of all jobs."""
        return submit.find_job(self._api, token)

    def observe(self, native_id: str) -> ServiceJob:
        """The job, or the last one that Together restarted it as."""
        return monitor.observe(self._api, native_id)

    def stop(self, native_id: str) -> None:
        """Cancel it."""
        self._api.cancel(native_id)

    def status(self, native_id: str) -> JobStatus:
        """Ask for the job, and for its events where it has failed."""
        return monitor.status(self._api, native_id)

    def events(self, native_id: str, after: str | None) -> Iterable[Event]:
        """Events and metrics together, by time."""
        return monitor.events(self._api, native_id, after)

    def fetch(self, native_id: str, folder: Path) -> Artifact:
        """The adapter or the model; ``ID:merged`` and ``ID:STEP`` name other things that the job made."""
        return fetch.fetch(self._api, native_id, folder)
