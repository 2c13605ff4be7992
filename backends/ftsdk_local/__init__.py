"""The local backend: fine-tunes on this machine, in a detached worker process."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

from ftsdk.artifact import Artifact, place
from ftsdk.backend import Backend, Capabilities, Options, Plan, Record
from ftsdk.errors import JobNotReady, Problem, RejectedError
from ftsdk.job import Event, JobState, JobStatus
from ftsdk.kit.hardware import device
from ftsdk_local import driver, methods, requirements, translate
from ftsdk_local.options import LocalOptions
from ftsdk_local.report import read_events
from ftsdk_local.status import observe

__all__ = ["LocalBackend"]


class LocalBackend(Backend):
    """Runs each job in a process of its own on this machine; jobs that want the same device queue for it."""

    name = "local"
    Options: ClassVar[type[Options]] = LocalOptions

    def capabilities(self) -> Capabilities:
        """What the engine does."""
        return Capabilities(
            methods=frozenset(methods.OPTIONS),
            adapters=frozenset({"full", "lora", "dora", "rslora"}),
            quantizations=frozenset({"nf4", "fp4", "int8"}),
            formats=frozenset().union(*methods.FORMATS.values()),
            verbs=frozenset({"events", "metrics", "cancel", "resume", "fetch"}),
        )

    def check(self) -> list[Problem]:
        """Packages that are missing or too old."""
        return requirements.check()

    def plan(self, spec: Any, options: Any) -> Plan:
        """The engine's settings."""
        return translate.plan(spec, device(options.device))

    def submit(self, plan: Plan, token: str, record: Record) -> str:  # noqa: ARG002 - the folder records everything
        """Create the job's folder and start its worker."""
        if problems := self.check():
            what = "; ".join(f"{problem.where} {problem.what}" for problem in problems)
            raise RejectedError(f"local jobs cannot run here: {what}", hint=problems[0].fix)
        return driver.submit(plan, token)

    def find(self, token: str, plan: Plan) -> str | None:
        """Look for the folder."""
        return driver.find(token, plan)

    def status(self, native_id: str) -> JobStatus:
        """Read the folder."""
        return observe(driver.folder_of(native_id))

    def events(self, native_id: str, after: str | None = None) -> Iterable[Event]:
        """Read ``events.jsonl``; a cursor is a number of bytes."""
        return read_events(driver.folder_of(native_id).events, after)

    def cancel(self, native_id: str) -> None:
        """Let the worker finish its step and save; asked again, kill it."""
        driver.cancel(driver.folder_of(native_id))

    def resume(self, native_id: str) -> None:
        """Start another worker on the same folder."""
        driver.resume(driver.folder_of(native_id))

    def fetch(self, native_id: str, folder: Path) -> Artifact:
        """Copy the artifact out of the job's folder, verified."""
        status = self.status(native_id)
        if status.state is not JobState.SUCCEEDED:
            raise JobNotReady(f"local:{native_id} is {status.state.value}: it has made nothing yet")
        return place(driver.folder_of(native_id).artifact, folder)
