"""Upload a job's request and rows to a private repository of its own, in one commit."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ftsdk.errors import InputError
from ftsdk.huggingface import container
from ftsdk.huggingface.connection import Hub

FOLDER = "job"
"""The folder of the repository that the request is in."""
_QUIET = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}
_SETTINGS = ("HF_ENDPOINT", "HF_HUB_DISABLE_XET")
_IGNORED_FOLDERS = {".git", ".cache"}  # of git and of the Hub's client, in a downloaded model; the Hub rejects both
_SCRIPT = Path(container.__file__).name

Contents = Mapping[str, Path | str | bytes]
"""From a name in the folder to a file or folder on this disk (a path), or to the file's content."""

COMMAND = ("python3", f"{container.MOUNT}{FOLDER}/{_SCRIPT}")
"""The command that runs the job where the repository is mounted."""


def repository(namespace: str, job_id: str) -> str:
    """The name of a job's repository."""
    return f"{namespace}/ftsdk-{job_id}"


def make_repository(hub: Hub, name: str) -> None:
    """Create the private model repository that receives the results; safe to repeat."""
    hub.ask(
        lambda: hub.api.create_repo(name, repo_type="model", private=True, exist_ok=True),
        f"create the repository {name}",
    )


def stage(hub: Hub, name: str, contents: Contents) -> str:
    """Commit the request; safe to repeat: a file that is there already is not uploaded again.

    Returns:
        The commit.
    """

    def commit() -> str:
        files = {f"{FOLDER}/{file}": source for file, source in with_script(contents).items()}
        operations = operations_of(files)  # new ones for each try: create_commit marks them as used
        info: Any = hub.api.create_commit(name, operations, commit_message="ftsdk: the request", repo_type="model")
        return str(info.oid)

    return hub.ask(commit, f"commit the request to {name}")


def open_settings() -> dict[str, str]:
    """The container's environment without secrets: the Hub's address, and no telemetry."""
    settings = {name: os.environ[name] for name in _SETTINGS if os.environ.get(name)}
    # Unbuffered: a line of the log must not wait in the container's memory, which is lost with a killed process.
    return {**settings, **_QUIET, "PYTHONUNBUFFERED": "1"}


def with_script(contents: Contents) -> Contents:
    """The request, with the script that runs it."""
    return {**contents, _SCRIPT: Path(container.__file__)}


def operations_of(files: Contents) -> list[Any]:
    """The operations that add files in a commit."""
    from huggingface_hub import CommitOperationAdd  # noqa: PLC0415 - slow to import

    return [
        CommitOperationAdd(path_in_repo=name, path_or_fileobj=content)
        for entry, source in sorted(files.items())
        for name, content in _expand(entry, source)
    ]


def _expand(name: str, source: Path | str | bytes) -> list[tuple[str, Path | bytes]]:
    """The files of one entry: itself, or all files in its folder."""
    if isinstance(source, str):
        return [(name, source.encode())]
    if isinstance(source, bytes) or source.is_file():
        return [(name, source)]
    if not source.is_dir():
        raise InputError(f"{source} was removed since the plan", hint="put it back, or plan and submit again")
    paths = {path.relative_to(source): path for path in sorted(source.rglob("*")) if path.is_file()}
    return [
        (f"{name}/{relative.as_posix()}", path)
        for relative, path in paths.items()
        if not _IGNORED_FOLDERS & {*relative.parts}
    ]
