"""What a job has uploaded to its repository: how it ended, its log, and the files of its artifact."""

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ftsdk.errors import ArtifactError, FtsdkError
from ftsdk.files import sha256
from ftsdk.huggingface.connection import Hub
from ftsdk.huggingface.container import ARTIFACT, LOG, OUTCOME, RESULT, TASK, ContainerTask, JobOutcome
from ftsdk.huggingface.log import LogLine, lines_of
from ftsdk.huggingface.staging import FOLDER

_NOT_FOUND = 404

Task = TypeVar("Task", bound=ContainerTask)


class JobResult(NamedTuple):
    """The one commit of results."""

    repository: str
    revision: str
    """A commit that contains the results."""
    outcome: JobOutcome
    """How the job ended, by its engine's own report."""


def find_result(hub: Hub, repository: str) -> JobResult | None:
    """The results, if they have been uploaded."""
    from huggingface_hub.errors import RepositoryNotFoundError  # noqa: PLC0415 - slow to import

    action = f"show the results in {repository}"
    try:
        # The commit first, and then all files of that commit: a file without a commit could be of a later one.
        commit = hub.ask(lambda: str(hub.api.model_info(repository).sha), action)
    except FtsdkError as error:
        if isinstance(error.__cause__, RepositoryNotFoundError):
            return None
        raise
    content = hub.ask(lambda: _read_file(hub, repository, f"{RESULT}/{OUTCOME}", commit), action)
    return None if content is None else JobResult(repository, commit, json.loads(content))


def read_log_copy(hub: Hub, result: JobResult) -> list[LogLine]:
    """The copy of the log among the results; no lines where there is none."""

    def ask() -> bytes | None:
        return _read_file(hub, result.repository, f"{RESULT}/{LOG}", result.revision)

    content = hub.ask(ask, f"send the log of {result.repository}") or b""
    return [(0.0, line) for line in lines_of(content.decode("utf-8", "replace"))]


def read_task(hub: Hub, repository: str, task_type: type[Task]) -> Task | None:
    """The task that the container was started with; None where there is none of this type."""

    def ask() -> bytes | None:
        return _read_file(hub, repository, f"{FOLDER}/{TASK}", "main")

    content = hub.ask(ask, f"send the request in {repository}")
    try:
        return None if content is None else task_type.from_json(content)
    except KeyError:
        return None


def _read_file(hub: Hub, repository: str, name: str, revision: str) -> bytes | None:
    """A small file's bytes; None where it does not exist."""
    from huggingface_hub import get_session, hf_hub_url  # noqa: PLC0415 - slow to import

    # Not hf_hub_download: it sleeps through any Retry-After that the Hub sends, and a status must not wait for hours.
    address = hf_hub_url(repository, name, revision=revision, endpoint=hub.api.endpoint)
    response = get_session().get(address, headers={"Authorization": f"Bearer {hub.api.token}"})
    if response.status_code == _NOT_FOUND:
        return None
    response.raise_for_status()
    return bytes(response.content)


def download(hub: Hub, result: JobResult, folder: Path) -> None:
    """Download the artifact's files into an empty folder; files of an earlier try are taken from the Hub's cache.

    Raises:
        ArtifactError: A file differs from what the Hub lists.
    """
    prefix = f"{RESULT}/{ARTIFACT}/"
    snapshot = Path(
        hub.ask(
            lambda: hub.api.snapshot_download(
                result.repository, revision=result.revision, allow_patterns=[f"{prefix}*"]
            ),
            f"send the files of {result.repository}",
        )
    )
    listed = hub.ask(lambda: _list_files(hub, result, prefix), f"list the files of {result.repository}")
    # The client checks the size of what it downloads, and never a hash; nor does it look again at what is in its cache.
    for name, (size, digest) in listed.items():
        source = snapshot / prefix / name
        if not source.is_file() or source.stat().st_size != size or (digest and sha256(source) != digest):
            raise ArtifactError(
                f"{name} of {result.repository} is not the file that the Hub lists",
                hint="remove it from the Hub's cache (hf cache), then fetch again",
            )
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, folder / name)


def _list_files(hub: Hub, result: JobResult, prefix: str) -> dict[str, tuple[int, str]]:
    """Size and sha256 of each file, by its name below the prefix."""
    tree = hub.api.list_repo_tree(
        result.repository, path_in_repo=prefix.rstrip("/"), recursive=True, revision=result.revision
    )
    files: list[Any] = [entry for entry in tree if hasattr(entry, "blob_id")]  # folders have none
    # Only of a large file (LFS, Xet) the Hub knows the sha256; of a small one it has git's own hash.
    return {file.path.removeprefix(prefix): (file.size, file.lfs.sha256 if file.lfs else "") for file in files}
