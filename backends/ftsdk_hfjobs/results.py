"""Read what a Job reports and uploads: its outcome, and its artifact with the paths of this machine again."""

import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ftsdk.artifact import seal, verify
from ftsdk.artifact.model_files import ADAPTER_CONFIG
from ftsdk.errors import JobNotFound
from ftsdk.huggingface.connection import Hub
from ftsdk.huggingface.reports import LineParser, LogEntry, ReportReader
from ftsdk.huggingface.results import JobResult, download, read_task
from ftsdk.huggingface.staging import FOLDER
from ftsdk.redact import redact
from ftsdk.workers.outcome import Outcome
from ftsdk_hfjobs.submit import HfJobsTask

_UPLOADED = re.compile(rf"/{FOLDER}/(files/.+)$")


def _line_parser() -> LineParser:
    """The engine's events are printed by the container; all else is a line of log."""
    return lambda line: LogEntry("log", redact(line))


def _read_outcome(result: JobResult) -> Outcome:
    """The worker's own outcome, without the keys of other versions."""
    fields = {name: value for name, value in result.outcome.items() if name in Outcome.model_fields}
    return Outcome.model_validate(fields)


REPORT_READER = ReportReader(_line_parser, _read_outcome)


def fetch_artifact(hub: Hub, result: JobResult, ref: str, folder: Path) -> None:
    """Download the artifact into an empty folder, replace the container's paths, and seal it again.

    Args:
        hub: The connection.
        result: The job's results.
        ref: The job, for the manifest.
        folder: The folder.

    Raises:
        JobNotFound: The Job was not submitted by this backend.
        ArtifactError: The artifact is damaged or unsafe.
    """
    download(hub, result, folder)
    # Before anything is changed: the worker's own hashes prove what the Hub has stored.
    manifest, task = verify(folder), read_task(hub, result.repository, HfJobsTask)
    if task is None:
        raise JobNotFound(f"{ref} was not submitted by this backend", hint="ftsdk jobs lists yours")
    localize = functools.partial(_localize, task.files)
    config = folder / ADAPTER_CONFIG
    if config.is_file():
        config.write_text(json.dumps(localize(json.loads(config.read_text("utf-8"))), indent=2), "utf-8")
    changes = {name: localize(getattr(manifest, name)) for name in ("base_model", "plan", "data")}
    seal(folder, manifest.model_copy(update={**changes, "spec": task.spec, "job": ref}))


def _localize(files: Mapping[str, str], data: Any) -> Any:
    """JSON data in which every path of an uploaded file is its path on this machine again."""
    if isinstance(data, dict):
        return {_localize(files, name): _localize(files, value) for name, value in data.items()}
    if isinstance(data, list):
        return [_localize(files, value) for value in data]
    match = _UPLOADED.search(data) if isinstance(data, str) else None
    return files.get(match[1], data) if match else data
