"""What a job has sent back to its repository: how it ended, and the files of its artifact."""

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from ftsdk.errors import ArtifactError, FtsdkError
from ftsdk.files import sha256
from ftsdk.huggingface.connection import Hub
from ftsdk.huggingface.container import ARTIFACT, LOG, OUTCOME, RESULT
from ftsdk.huggingface.log import Line, lines_of
from ftsdk.huggingface.staging import FOLDER, TASK

_NOT_THERE = 404


class Result(NamedTuple):
    """The one commit of results."""

    repository: str
    revision: str
    """The commit in which it was found."""
    outcome: dict[str, Any]
    """How the job ended, in its engine's own words."""


def result_of(hub: Hub, repository: str) -> Result | None:
    """The results, if they are there."""
    from huggingface_hub.errors import RepositoryNotFoundError  # noqa: PLC0415 - slow to import

    doing = f"tell what came back to {repository}"
    try:
        commit = hub.ask(lambda: str(hub.api.model_info(repository).sha), doing)
    except FtsdkError as error:
        if isinstance(error.__cause__, RepositoryNotFoundError):
            return None
        raise
    content = hub.ask(lambda: _file(hub, repository, f"{RESULT}/{OUTCOME}", commit), doing)
    return None if content is None else Result(repository, commit, json.loads(content))


def log_of(hub: Hub, result: Result) -> list[Line]:
    """The log that came back; none where there is none."""

    def ask() -> bytes | None:
        return _file(hub, result.repository, f"{RESULT}/{LOG}", result.revision)

    content = hub.ask(ask, f"send the log of {result.repository}") or b""
    return [(0.0, line) for line in lines_of(content.decode("utf-8", "replace"))]


def task_of(hub: Hub, repository: str) -> dict[str, Any]:
    """What the container was told; empty where nobody has told it anything."""

    def ask() -> bytes | None:
        return _file(hub, repository, f"{FOLDER}/{TASK}", "main")

    found: dict[str, Any] = json.loads(hub.ask(ask, f"send the request in {repository}") or b"{}")
    return found


def _file(hub: Hub, repository: str, name: str, revision: str) -> bytes | None:
    """A small file's bytes; None where it is not there. The client's own way would wait as long as it is told to."""
    from huggingface_hub import get_session, hf_hub_url  # noqa: PLC0415 - slow to import

    address = hf_hub_url(repository, name, revision=revision, endpoint=hub.api.endpoint)
    answer = get_session().get(address, headers={"Authorization": f"Bearer {hub.api.token}"})
    if answer.status_code == _NOT_THERE:
        return None
    answer.raise_for_status()
    return bytes(answer.content)


def bring(hub: Hub, result: Result, folder: Path) -> None:
    """Bring the artifact's files into an empty folder; what was brought before is in the Hub's cache.

    Raises:
        ArtifactError: A file is not what the Hub says it is.
    """
    inside = f"{RESULT}/{ARTIFACT}/"
    whole = Path(
        hub.ask(
            lambda: hub.api.snapshot_download(
                result.repository, revision=result.revision, allow_patterns=[f"{inside}*"]
            ),
            f"send what {result.repository} holds",
        )
    )
    told = hub.ask(lambda: _told(hub, result, inside), f"list what {result.repository} holds")
    for name, (size, digest) in told.items():
        source = whole / inside / name
        if not source.is_file() or source.stat().st_size != size or (digest and sha256(source) != digest):
            raise ArtifactError(
                f"{name} of {result.repository} did not come as the Hub says it is",
                hint="remove it from the Hub's cache (hf cache), then fetch again",
            )
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, folder / name)


def _told(hub: Hub, result: Result, inside: str) -> dict[str, tuple[int, str]]:
    """Size and sha256 of each file, as the Hub tells them; it has the hash of large ones only."""
    tree = hub.api.list_repo_tree(
        result.repository, path_in_repo=inside.rstrip("/"), recursive=True, revision=result.revision
    )
    files: list[Any] = [entry for entry in tree if hasattr(entry, "blob_id")]
    return {file.path.removeprefix(inside): (file.size, file.lfs.sha256 if file.lfs else "") for file in files}
