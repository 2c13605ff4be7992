"""The system behind the fake backend: a folder with a file for each job, the same from every process.

A file ``ID.TOKEN.jsonl`` has the creation's request in its first line, and in the others the later requests about the
job. Like many a real service it has no idempotency: two creations make two jobs.
"""

import glob
import json
import re
import secrets
import time
from pathlib import Path
from typing import Any, NamedTuple

from ftsdk.errors import JobNotFound
from ftsdk.files import write_atomic
from ftsdk.home import home
from ftsdk.testing.script import RecordedRequest, Script, ScriptedEvent, timeline

_ID = re.compile(r"ft-[0-9a-f]{12}")


class RemoteJob(NamedTuple):
    """A job as the system knows it."""

    native_id: str
    token: str
    created: float
    """Seconds since 1970."""
    request: dict[str, Any]
    later_requests: tuple[RecordedRequest, ...]

    @property
    def script(self) -> Script:
        """The job's script."""
        return Script.model_validate(self.request["script"])

    def events_until(self, now: float) -> list[ScriptedEvent]:
        """The events up to a time."""
        return [event for event in self.all_events() if event.at <= now]

    def all_events(self) -> list[ScriptedEvent]:
        """The events, past and future."""
        return timeline(self.script, self.created, self.later_requests)


def folder() -> Path:
    """The folder of the jobs; a test may count its files."""
    path = home() / "fake"
    path.mkdir(exist_ok=True)
    return path


def create(token: str, request: dict[str, Any]) -> str:
    """Create a job, in one step, and return its id. A second call creates a second job."""
    native_id = f"ft-{secrets.token_hex(6)}"
    line = json.dumps({"created": time.time(), "request": request})
    write_atomic(folder() / f"{native_id}.{token}.jsonl", line + "\n")
    return native_id


def created_with(token: str) -> list[RemoteJob]:
    """All jobs with this token, oldest first."""
    return sorted(
        (_read(path) for path in folder().glob(f"ft-*.{glob.escape(token)}.jsonl")), key=lambda job: job.created
    )


def get(native_id: str) -> RemoteJob:
    """One job.

    Raises:
        JobNotFound: There is none with this id.
    """
    return _read(_path(native_id))


def add_request(native_id: str, verb: str) -> None:
    """Record a request about a job."""
    with _path(native_id).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"verb": verb, "at": time.time()}) + "\n")


def first_request(token: str) -> bool:
    """Whether the system receives this token for the first time; it is recorded."""
    try:
        (folder() / f"{token}.lost").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _path(native_id: str) -> Path:
    paths = list(folder().glob(f"{native_id}.*.jsonl")) if _ID.fullmatch(native_id) else []
    if not paths:
        raise JobNotFound(f"the fake backend has no job {native_id!r}", hint="list your jobs: ftsdk jobs")
    return paths[0]


def _read(path: Path) -> RemoteJob:
    first, *rest = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    native_id, token, _ = path.name.split(".")
    return RemoteJob(
        native_id, token, first["created"], first["request"], tuple(RecordedRequest(**request) for request in rest)
    )
