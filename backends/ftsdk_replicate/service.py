"""Replicate as a service that creates paid trainings: who does what, for the rules in :mod:`ftsdk.remote.backend`."""

import os
from collections.abc import Iterable
from pathlib import Path

from ftsdk.artifact import Artifact
from ftsdk.backend import Plan, Record
from ftsdk.job_types import Event, JobStatus
from ftsdk.remote.backend import RemoteService, ServiceJob
from ftsdk_replicate import fetch, monitor, submit
from ftsdk_replicate.api import ReplicateApi
from ftsdk_replicate.errors import ERROR_MAPPER
from ftsdk_replicate.submit import TrainingRequest


class ReplicateService(RemoteService[TrainingRequest]):
    """Replicate over one connection.

    Args:
        api: The connection.
    """

    title = "Replicate"
    job_list = "replicate.com/trainings"
    error_mapper = ERROR_MAPPER
    creation = "create the training"

    def __init__(self, api: ReplicateApi) -> None:
        super().__init__(api.timing)
        self._api = api

    def prepare(self, plan: Plan, token: str, record: Record) -> TrainingRequest:
        """Make sure that the destination exists, and upload the rows."""
        return submit.prepare(self._api, plan, token, record)

    def create(self, request: TrainingRequest, plan: Plan, token: str, record: Record) -> str | None:  # noqa: ARG002 - in the request
        """Create the training."""
        return self._api.create_training(plan.native["trainer"], plan.native["version"], request.body)

    def find_job(self, plan: Plan, token: str, request: TrainingRequest | None) -> str | None:
        """Look for the address of the rows in the inputs of all trainings."""
        return submit.find_job(self._api, plan, token, request)

    def observe(self, native_id: str) -> ServiceJob:
        """The training."""
        return monitor.observe(self._api, native_id)

    def stop(self, native_id: str) -> None:
        """Cancel it."""
        self._api.cancel(native_id)

    def status(self, native_id: str) -> JobStatus:
        """Ask for the training."""
        return monitor.status(self._api, native_id)

    def events(self, native_id: str, after: str | None) -> Iterable[Event]:
        """States, and what the log has grown by."""
        return monitor.events(self._api, native_id, after)

    def fetch(self, native_id: str, folder: Path) -> Artifact:
        """The weights that the training made."""
        return fetch.fetch(self._api, native_id, folder, convert_pickle=bool(os.environ.get(fetch.CONVERT)))
