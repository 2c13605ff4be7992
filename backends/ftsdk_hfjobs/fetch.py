"""Bring the artifact that came back, verified, and call things by their names on this machine again."""

import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ftsdk.artifact import Artifact, place, seal, verify
from ftsdk.artifact.model_files import ADAPTER_CONFIG
from ftsdk.errors import JobNotReady
from ftsdk.huggingface.connection import Hub
from ftsdk.huggingface.execution import RemoteExecution
from ftsdk.huggingface.monitor import LogParser, status
from ftsdk.huggingface.results import Result, bring, result_of, task_of
from ftsdk.huggingface.staging import FOLDER
from ftsdk.job_types import JobState

_BROUGHT = re.compile(rf"/{FOLDER}/(files/.+)$")


def fetch(hub: Hub, carrier: RemoteExecution, tongue: LogParser, ref: str, folder: Path) -> Artifact:
    """Bring it into a folder.

    Raises:
        JobNotReady: The job has made nothing, or nothing yet.
        ArtifactError: What came is damaged or unsafe.
    """
    now = status(hub, carrier, tongue)
    result = result_of(hub, carrier.look().repository) if now.state is JobState.SUCCEEDED else None
    if result is None:
        raise JobNotReady(f"{ref} is {now.state.value}: it has made nothing yet", ref=ref, hint=now.hint)
    return place(functools.partial(_fill, hub, result, ref), folder)


def _fill(hub: Hub, result: Result, ref: str, folder: Path) -> None:
    bring(hub, result, folder)
    manifest, task = verify(folder), task_of(hub, result.repository)
    here = functools.partial(_here, task["files"])
    config = folder / ADAPTER_CONFIG
    if config.is_file():
        config.write_text(json.dumps(here(json.loads(config.read_text("utf-8"))), indent=2), "utf-8")
    told = {name: here(getattr(manifest, name)) for name in ("base_model", "plan", "data")}
    seal(folder, manifest.model_copy(update={**told, "spec": task["spec"], "job": ref}))


def _here(files: Mapping[str, str], told: Any) -> Any:
    """What was brought to the job has its own name again, in any JSON data."""
    if isinstance(told, dict):
        return {_here(files, name): _here(files, value) for name, value in told.items()}
    if isinstance(told, list):
        return [_here(files, value) for value in told]
    found = _BROUGHT.search(told) if isinstance(told, str) else None
    return files.get(found[1], told) if found else told
