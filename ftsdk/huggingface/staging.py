"""Bring a job's request and rows to a private repository of its own, in one commit."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ftsdk.errors import InputError
from ftsdk.huggingface import container
from ftsdk.huggingface.connection import Hub

FOLDER = "job"
"""The folder of the repository that the request lies in."""
_QUIET = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}
_SETTINGS = ("HF_ENDPOINT", "HF_HUB_DISABLE_XET")
_NOT_THE_MODELS = {".git", ".cache"}  # of whoever cloned or downloaded a folder; the Hub takes neither
_SCRIPT = Path(container.__file__).name
TASK = "task.json"
"""What the container is told."""

Contents = Mapping[str, Path | str | bytes]
"""From a name in the folder to a file or folder on this disk (a path), or to what the file holds."""

COMMAND = ("python3", f"{container.MOUNT}{FOLDER}/{_SCRIPT}")
"""What does the job where the repository is mounted."""


def repository(namespace: str, job_id: str) -> str:
    """The name of a job's repository."""
    return f"{namespace}/ftsdk-{job_id}"


def make_repository(hub: Hub, name: str) -> None:
    """Make the private model repository that the results come back to; safe to repeat."""
    hub.ask(
        lambda: hub.api.create_repo(name, repo_type="model", private=True, exist_ok=True),
        f"make the repository {name}",
    )


def stage(hub: Hub, name: str, contents: Contents) -> str:
    """Commit the request; safe to repeat: a file that is there already is not sent again.

    Returns:
        The commit.
    """

    def commit() -> str:
        files = {f"{FOLDER}/{each}": source for each, source in with_script(contents).items()}
        operations = operations_of(files)  # a try uses them up
        made: Any = hub.api.create_commit(name, operations, commit_message="ftsdk: the request", repo_type="model")
        return str(made.oid)

    return hub.ask(commit, f"take the request into {name}")


def open_settings() -> dict[str, str]:
    """What a container is told in the open: which Hub this is, and to leave telemetry."""
    chosen = {name: os.environ[name] for name in _SETTINGS if os.environ.get(name)}
    return {**chosen, **_QUIET, "PYTHONUNBUFFERED": "1"}


def with_script(contents: Contents) -> Contents:
    """The request, and what reads it."""
    return {**contents, _SCRIPT: Path(container.__file__)}


def operations_of(files: Contents) -> list[Any]:
    """What a commit adds."""
    from huggingface_hub import CommitOperationAdd  # noqa: PLC0415 - slow to import

    return [
        CommitOperationAdd(path_in_repo=name, path_or_fileobj=found)
        for given, source in sorted(files.items())
        for name, found in _files(given, source)
    ]


def _files(name: str, source: Path | str | bytes) -> list[tuple[str, Path | bytes]]:
    """The files that one entry stands for."""
    if isinstance(source, str):
        return [(name, source.encode())]
    if isinstance(source, bytes) or source.is_file():
        return [(name, source)]
    if not source.is_dir():
        raise InputError(f"{source} was removed since the plan", hint="put it back, or plan and submit again")
    inside = {path.relative_to(source): path for path in sorted(source.rglob("*")) if path.is_file()}
    return [(f"{name}/{at.as_posix()}", path) for at, path in inside.items() if not _NOT_THE_MODELS & {*at.parts}]
