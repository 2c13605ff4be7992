"""A Docker Space that runs a job and is paused after it: the older way of Hugging Face, with its gaps.

A Space never ends: it runs, and costs, until it is paused. The container pauses its own Space, every status request
after its end pauses it once more, and the Space's sleep time is the last resort.
"""

import re
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any, NamedTuple

from ftsdk.backend import Plan, Record
from ftsdk.errors import FtsdkError, JobNotFound
from ftsdk.huggingface.connection import Hub, values_of
from ftsdk.huggingface.container import OUTCOME, RESULT
from ftsdk.huggingface.execution import ExecutionStatus, RemoteExecution
from ftsdk.huggingface.log import LogLine, read_log
from ftsdk.huggingface.results import find_result
from ftsdk.huggingface.service import HubService
from ftsdk.huggingface.staging import COMMAND, FOLDER, Contents, operations_of, with_script
from ftsdk.job_types import JobState

STATES = {
    "NO_APP_FILE": JobState.QUEUED,
    "BUILDING": JobState.QUEUED,
    "RUNNING_BUILDING": JobState.QUEUED,
    "APP_STARTING": JobState.QUEUED,
    "RUNNING_APP_STARTING": JobState.QUEUED,
    "RUNNING": JobState.RUNNING,
    "BUILD_ERROR": JobState.FAILED,
    "CONFIG_ERROR": JobState.FAILED,
    "RUNTIME_ERROR": JobState.FAILED,
    "DELETING": JobState.FAILED,
    "STOPPED": JobState.FAILED,
    "SLEEPING": JobState.FAILED,
    "PAUSED": JobState.FAILED,
}
"""From a stage to our state; where there are results, they decide.

A Space is paused after success and failure alike, so that PAUSED without results is a failure.
"""

ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_IDLE = frozenset({"PAUSED", "STOPPED", "SLEEPING", "DELETING"})
"""Stages that cost nothing."""
_BUILD_SECONDS = 600.0  # between the creation of a Space and the start of its build


class SpaceRequest(NamedTuple):
    """What a Space runs."""

    name: str
    """``namespace/name``; the model repository of the same name receives the results."""
    image: str
    hardware: str
    sleep_seconds: int
    """Idle time after which Hugging Face puts it to sleep. Only visitors count: a Space that trains is idle."""
    environment: Mapping[str, str]
    secrets: Sequence[str]
    """Names of environment variables on this machine whose values become its secrets."""
    contents: Contents = MappingProxyType({})
    """The files of the job's request."""


def create_space(hub: Hub, request: SpaceRequest) -> None:
    """Create the Space in one request and start it by one commit; safe to repeat, for the name is the job's own.

    After any error, the Space is paused.
    """
    secrets = [{"key": name, "value": value} for name, value in values_of(request.secrets).items()]
    hardware: Any = request.hardware  # machines that are missing from the client's list are allowed

    def create() -> Any:
        # Hardware, secrets and sleep time in the creation itself: set one by one, as AutoTrain does, a crash in between
        # would leave a paid machine that never sleeps.
        return hub.api.create_repo(
            request.name,
            repo_type="space",
            space_sdk="docker",
            private=True,
            exist_ok=True,
            space_hardware=hardware,
            space_sleep_time=request.sleep_seconds,
            space_secrets=secrets,
            space_variables=[{"key": name, "value": value} for name, value in request.environment.items()],
        )

    def start() -> Any:
        files = {f"{FOLDER}/{name}": source for name, source in with_script(request.contents).items()}
        # One commit: the first one with a Dockerfile starts the build, with the files that are there by then.
        operations = operations_of({**files, "README.md": _README, "Dockerfile": _dockerfile(request.image)})
        return hub.api.create_commit(request.name, operations, commit_message="ftsdk: the request", repo_type="space")

    try:
        hub.ask(create, f"create the Space {request.name}")
        hub.ask(start, f"commit the request to the Space {request.name}")
        if _stage(hub, request.name) == "PAUSED":  # by an earlier try that failed; a commit does not wake it
            hub.ask(lambda: hub.api.restart_space(request.name), f"start the Space {request.name}")
    except BaseException:
        with suppress(FtsdkError):  # there may be no Space; the first error is the one to report
            _pause(hub, request.name)
        raise


def is_started(hub: Hub, name: str) -> bool:
    """Whether the job's Space was created and started; one that is paused without results was not."""
    action = f"describe the Space {name}"
    if not hub.ask(lambda: hub.api.file_exists(name, "Dockerfile", repo_type="space"), action):
        return False
    return _stage(hub, name) != "PAUSED" or find_result(hub, name) is not None


def _stage(hub: Hub, name: str) -> str:
    runtime: Any = hub.ask(lambda: hub.api.get_space_runtime(name), f"describe the Space {name}")
    return str(getattr(runtime.stage, "value", runtime.stage))


class SpacesService(HubService[SpaceRequest]):
    """Docker Spaces, as one backend uses them.

    A Space has the job's own name, so its creation may be repeated: there is no doubt to be recorded and resolved.
    """

    job_list = "your page of Spaces at Hugging Face"
    creation = "create the Space"

    @abstractmethod
    def name(self, plan: Plan, token: str) -> str:
        """The name of a submission's Space, and of the model repository of its results."""

    def create(self, request: SpaceRequest, plan: Plan, token: str, record: Record) -> str | None:  # noqa: ARG002 - in the request
        """Create and start the Space."""
        create_space(self.hub, request)
        return request.name

    def find_job(self, plan: Plan, token: str, request: SpaceRequest | None) -> str | None:  # noqa: ARG002 - it has the job's name
        """Ask for the Space of this name."""
        name = self.name(plan, token)
        return name if is_started(self.hub, name) else None

    def submit(self, plan: Plan, token: str, record: Record) -> str:
        """Look for an earlier Space, upload, create."""
        if earlier := self.find(plan, token):
            return earlier
        request = self.prepare(plan, token, record)
        create_space(self.hub, request)
        return request.name

    def find(self, plan: Plan, token: str) -> str | None:
        """The Space of an earlier submission with this token, or None where it is certain that there is none."""
        return self.find_job(plan, token, None)

    def execution(self, native_id: str) -> RemoteExecution:
        """The Space."""
        return SpaceExecution(self.hub, native_id)


class SpaceExecution(RemoteExecution):
    """One Space.

    Args:
        hub: The connection.
        name: ``namespace/name``.

    Raises:
        JobNotFound: The name is not valid.
    """

    title = "the Space"
    runs_after_completion = True

    def __init__(self, hub: Hub, name: str) -> None:
        if not ID.fullmatch(name):
            raise JobNotFound(f"{name!r} is no name of a Space: namespace/name", hint="ftsdk jobs lists yours")
        self._hub = hub
        self._name = name

    def inspect(self) -> ExecutionStatus:
        """Ask for it."""
        from huggingface_hub.errors import RepositoryNotFoundError  # noqa: PLC0415 - slow to import

        try:
            info: Any = self._hub.ask(lambda: self._hub.api.space_info(self._name), "describe the Space")
        except FtsdkError as error:
            if isinstance(error.__cause__, RepositoryNotFoundError):
                raise JobNotFound(f"there is no Space {self._name}", hint="ftsdk jobs lists yours") from error
            raise
        runtime: Any = self._hub.ask(lambda: self._hub.api.get_space_runtime(self._name), "describe the Space")
        stage = str(getattr(runtime.stage, "value", runtime.stage))
        state = STATES.get(stage, JobState.UNKNOWN)
        created = info.created_at.timestamp() if info.created_at else 0.0
        # Without a commit it stays in this stage for ever: the submission was killed before it.
        if stage == "NO_APP_FILE" and created and time.time() - created > _BUILD_SECONDS:
            state = JobState.FAILED
        return ExecutionStatus(
            state=state,
            raw_status=stage,
            message=str((runtime.raw or {}).get("errorMessage") or ""),
            times=(created, 0.0 if state is JobState.QUEUED else created, 0.0),
            repository=self._name,
        )

    def lines(self, tail: int | None = None, *, ended: bool) -> list[LogLine]:  # noqa: ARG002 - its log has no end
        """Its log."""
        lines = read_log(self._hub, f"api/spaces/{self._name}/logs/run", ended=False)
        return lines if tail is None else lines[-tail:]

    def stop(self) -> None:
        """Commit an outcome that says it was cancelled; then pause it."""
        # In this order: a paused Space looks the same whatever has happened, and without an outcome it has failed.
        outcome = {f"{RESULT}/{OUTCOME}": '{"state": "cancelled"}'}

        def commit() -> Any:
            operations = operations_of(outcome)
            return self._hub.api.create_commit(self._name, operations, commit_message="ftsdk: cancelled")

        self._hub.ask(commit, "record that the job was cancelled")
        _pause(self._hub, self._name)

    def stop_billing(self) -> str:
        """Pause it where it still costs."""
        try:
            if _stage(self._hub, self._name) not in _IDLE:
                _pause(self._hub, self._name)
        except FtsdkError as error:
            return f"the Space {self._name} may still run, and cost: {error.message}; pause it on its page"
        return ""


def _pause(hub: Hub, name: str) -> None:
    hub.ask(lambda: hub.api.pause_space(name), f"pause the Space {name}")


_README = """\
---
title: An ftsdk job
sdk: docker
app_port: 7860
tags: [autotrain, ftsdk]
---

A fine-tuning job of ftsdk. It pauses itself when it is done.
"""


def _dockerfile(image: str) -> str:
    """The image with the request in it."""
    # --chown: a Space runs as the user 1000, who owns nothing in the image.
    words = ", ".join(f'"{word}"' for word in COMMAND)
    return f"FROM {image}\nCOPY --chown=1000 {FOLDER} /ftsdk/{FOLDER}\nENTRYPOINT []\nCMD [{words}]\n"
