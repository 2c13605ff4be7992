"""The system behind the fake backend: a folder with a file for each job, the same from every process.

A file ``ID.TOKEN.jsonl`` holds the request in its first line, and below it what was asked of the job since. Like many
a real service it has no idempotency: asked twice to create, it makes two jobs.
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
from ftsdk.testing.script import Deed, Happening, Script, timeline

_ID = re.compile(r"ft-[0-9a-f]{12}")


class RemoteJob(NamedTuple):
    """A job as the system knows it."""

    native_id: str
    token: str
    created: float
    """Seconds since 1970."""
    request: dict[str, Any]
    deeds: tuple[Deed, ...]

    @property
    def script(self) -> Script:
        """How the job goes."""
        return Script.model_validate(self.request["script"])

    def so_far(self, now: float) -> list[Happening]:
        """What has happened up to now."""
        return [happening for happening in self.all() if happening.at <= now]

    def all(self) -> list[Happening]:
        """What has happened, and what will."""
        return timeline(self.script, self.created, self.deeds)


def folder() -> Path:
    """Where the jobs are; a test may count its files."""
    place = home() / "fake"
    place.mkdir(exist_ok=True)
    return place


def create(token: str, request: dict[str, Any]) -> str:
    """Make a job, in one step, and give its id. A second call makes a second job."""
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


def ask(native_id: str, verb: str) -> None:
    """Note that something was asked of a job."""
    with _path(native_id).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"verb": verb, "at": time.time()}) + "\n")


def first_request(token: str) -> bool:
    """Whether the system's door sees this token for the first time; it is remembered."""
    try:
        (folder() / f"{token}.lost").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _path(native_id: str) -> Path:
    found = list(folder().glob(f"{native_id}.*.jsonl")) if _ID.fullmatch(native_id) else []
    if not found:
        raise JobNotFound(f"the fake backend has no job {native_id!r}", hint="list your jobs: ftsdk jobs")
    return found[0]


def _read(path: Path) -> RemoteJob:
    first, *rest = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    native_id, token, _ = path.name.split(".")
    return RemoteJob(native_id, token, first["created"], first["request"], tuple(Deed(**deed) for deed in rest))
