"""Functions about Jobs and Spaces that are methods of services now."""

import json
from pathlib import Path
from typing import Any

from ftsdk.backend import Plan, Record
from ftsdk.errors import FtsdkError
from ftsdk.huggingface import monitor, results, spaces
from ftsdk.huggingface.connection import Hub
from ftsdk.huggingface.container import TASK
from ftsdk.huggingface.execution import RemoteExecution
from ftsdk.huggingface.jobs import JobsService, LaunchRequest
from ftsdk.huggingface.reports import ReportReader
from ftsdk.huggingface.results import JobResult
from ftsdk.huggingface.spaces import SpaceRequest
from ftsdk.huggingface.staging import FOLDER, Contents

Fields = dict[str, Any]


class _Jobs(JobsService):
    """Creates and finds Jobs, and reads nothing of them."""

    def __init__(self, hub: Hub, request: LaunchRequest | None = None) -> None:
        super().__init__(hub)
        self._request = request

    def prepare(self, plan: Plan, token: str, record: Record) -> LaunchRequest:  # noqa: ARG002 - prepared already
        """The request."""
        assert self._request is not None
        return self._request

    def report_reader(self, execution: RemoteExecution) -> ReportReader:
        """None."""
        raise NotImplementedError

    def fill(self, result: JobResult, ref: str, folder: Path) -> None:
        """Nothing."""
        raise NotImplementedError


def create_job(hub: Hub, plan: Plan, token: str, order: LaunchRequest, record: Record) -> str:
    """Run a Job, once for a token."""
    return _Jobs(hub, order).submit(plan, token, record)


def find_job(hub: Hub, plan: Plan, namespace: str, token: str) -> str | None:  # noqa: ARG001 - that of the plan
    """The Job with this token, or None where it is certain that there is none."""
    return _Jobs(hub).find(plan, token)


def create_space(hub: Hub, order: SpaceRequest, contents: Contents) -> None:
    """Create and start a Space."""
    spaces.create_space(hub, order._replace(contents=contents))


def cancel(hub: Hub, carrier: RemoteExecution) -> None:
    """Ask the job to stop; without effect on one that has ended."""
    current = carrier.inspect()
    if current.state.done or monitor.find_current_result(hub, carrier, current):
        return
    try:
        carrier.stop()
    except FtsdkError:
        if not carrier.inspect().state.done:
            raise


def task_of(hub: Hub, repository: str) -> dict[str, Any]:
    """The container's task; empty where there is none."""

    def ask() -> bytes | None:
        return results._read_file(hub, repository, f"{FOLDER}/{TASK}", "main")  # noqa: SLF001 - removed with this module

    task: dict[str, Any] = json.loads(hub.ask(ask, f"send the request in {repository}") or b"{}")
    return task
