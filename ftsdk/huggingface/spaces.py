"""A Docker Space that does a job and is paused behind it: Hugging Face's older way, with what it lacks.

A Space has no end: it runs, and costs, until somebody pauses it. The container pauses its own, whoever watches pauses
it once more, and its sleep time is the last resort.
"""

import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from ftsdk.errors import FtsdkError, JobNotFound
from ftsdk.huggingface.connection import Hub, values_of
from ftsdk.huggingface.container import OUTCOME, RESULT
from ftsdk.huggingface.execution import RemoteExecution, Seen
from ftsdk.huggingface.log import Line, read_log
from ftsdk.huggingface.results import result_of
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
"""From a stage to our state; where results have come, they decide."""

ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_IDLE = frozenset({"PAUSED", "STOPPED", "SLEEPING", "DELETING"})
"""Stages that cost nothing."""
_TIME_FOR_AN_APP = 600.0  # seconds between a Space's making and the first sign of its files


class Order(NamedTuple):
    """What a Space is to be."""

    name: str
    """``namespace/name``; the results go to the model repository of the same name."""
    image: str
    hardware: str
    sleep_seconds: int
    """Idle time after which Hugging Face puts it to sleep. Work is idle in its eyes: only visitors count."""
    environment: Mapping[str, str]
    secrets: Sequence[str]
    """Names of environment variables here whose values it is given as secrets."""


def create(hub: Hub, order: Order, contents: Contents) -> None:
    """Make the Space in one request and start it in one commit; safe to repeat, for the name is the job's own.

    Whatever goes wrong, the Space is paused.
    """
    secrets = [{"key": name, "value": value} for name, value in values_of(order.secrets).items()]
    hardware: Any = order.hardware  # newer machines than the client's list are allowed

    def make() -> Any:
        return hub.api.create_repo(
            order.name,
            repo_type="space",
            space_sdk="docker",
            private=True,
            exist_ok=True,
            space_hardware=hardware,
            space_sleep_time=order.sleep_seconds,
            space_secrets=secrets,
            space_variables=[{"key": name, "value": value} for name, value in order.environment.items()],
        )

    def start() -> Any:
        files = {f"{FOLDER}/{name}": source for name, source in with_script(contents).items()}
        operations = operations_of({**files, "README.md": _README, "Dockerfile": _dockerfile(order.image)})
        return hub.api.create_commit(order.name, operations, commit_message="ftsdk: the request", repo_type="space")

    try:
        hub.ask(make, f"make the Space {order.name}")
        hub.ask(start, f"take the request into the Space {order.name}")
        if _stage(hub, order.name) == "PAUSED":  # by an earlier try that broke off
            hub.ask(lambda: hub.api.restart_space(order.name), f"start the Space {order.name}")
    except BaseException:
        with suppress(FtsdkError):  # there may be none; what went wrong before is what counts
            _pause(hub, order.name)
        raise


def find(hub: Hub, name: str) -> bool:
    """Whether the job's Space has been made and started; one that was paused before it has sent anything was not."""
    doing = f"tell about the Space {name}"
    if not hub.ask(lambda: hub.api.file_exists(name, "Dockerfile", repo_type="space"), doing):
        return False
    return _stage(hub, name) != "PAUSED" or result_of(hub, name) is not None


def _stage(hub: Hub, name: str) -> str:
    runtime: Any = hub.ask(lambda: hub.api.get_space_runtime(name), f"tell about the Space {name}")
    return str(getattr(runtime.stage, "value", runtime.stage))


class SpaceExecution(RemoteExecution):
    """One Space.

    Args:
        hub: The connection.
        name: ``namespace/name``.

    Raises:
        JobNotFound: That is no name of a Space.
    """

    title = "the Space"
    outlives = True

    def __init__(self, hub: Hub, name: str) -> None:
        if not ID.fullmatch(name):
            raise JobNotFound(f"{name!r} names no Space; they are namespace/name", hint="ftsdk jobs lists yours")
        self._hub = hub
        self._name = name

    def look(self) -> Seen:
        """Ask for it."""
        from huggingface_hub.errors import RepositoryNotFoundError  # noqa: PLC0415 - slow to import

        try:
            info: Any = self._hub.ask(lambda: self._hub.api.space_info(self._name), "tell about the Space")
        except FtsdkError as error:
            if isinstance(error.__cause__, RepositoryNotFoundError):
                raise JobNotFound(f"there is no Space {self._name}", hint="ftsdk jobs lists yours") from error
            raise
        runtime: Any = self._hub.ask(lambda: self._hub.api.get_space_runtime(self._name), "tell about the Space")
        word = str(getattr(runtime.stage, "value", runtime.stage))
        state = STATES.get(word, JobState.UNKNOWN)
        made = info.created_at.timestamp() if info.created_at else 0.0
        if word == "NO_APP_FILE" and made and time.time() - made > _TIME_FOR_AN_APP:
            state = JobState.FAILED
        return Seen(
            state=state,
            word=word,
            message=str((runtime.raw or {}).get("errorMessage") or ""),
            times=(made, 0.0 if state is JobState.QUEUED else made, 0.0),
            repository=self._name,
        )

    def lines(self, tail: int | None = None, *, ended: bool) -> list[Line]:  # noqa: ARG002 - its log has no end
        """Its log."""
        found = read_log(self._hub, f"api/spaces/{self._name}/logs/run", ended=False)
        return found if tail is None else found[-tail:]

    def stop(self) -> None:
        """Leave word that it was cancelled, for a paused Space looks the same whatever has happened; then pause it."""
        word = {f"{RESULT}/{OUTCOME}": '{"state": "cancelled"}'}

        def leave() -> Any:
            operations = operations_of(word)
            return self._hub.api.create_commit(self._name, operations, commit_message="ftsdk: cancelled")

        self._hub.ask(leave, "note that the job was cancelled")
        _pause(self._hub, self._name)

    def settle(self) -> str:
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
    """Nothing but the request on top of the image; ``--chown``, for a Space runs as a user without rights."""
    words = ", ".join(f'"{word}"' for word in COMMAND)
    return f"FROM {image}\nCOPY --chown=1000 {FOLDER} /ftsdk/{FOLDER}\nENTRYPOINT []\nCMD [{words}]\n"
