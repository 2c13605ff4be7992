"""Bring the artifact that came back, verified, and call things by their names on this machine again."""

import functools
import json
import re
from pathlib import Path

from ftsdk.artifact import Artifact, place, seal, verify
from ftsdk.errors import JobNotReady
from ftsdk.job import JobState
from ftsdk.kit.hub.carrier import Carrier
from ftsdk.kit.hub.connection import Hub
from ftsdk.kit.hub.results import Result, bring, result_of, task_of
from ftsdk.kit.hub.staging import FOLDER
from ftsdk.kit.hub.watch import Tongue, status

_CONFIG = "adapter_config.json"
_BROUGHT = re.compile(rf"/{FOLDER}/(files/.+)$")


def fetch(hub: Hub, carrier: Carrier, tongue: Tongue, ref: str, folder: Path) -> Artifact:
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
    manifest = verify(folder)
    base = _here(hub, result, manifest.base_model)
    config = folder / _CONFIG
    if config.is_file():
        told = json.loads(config.read_text("utf-8"))
        told["base_model_name_or_path"] = _here(hub, result, told["base_model_name_or_path"])
        config.write_text(json.dumps(told, indent=2), "utf-8")
    seal(folder, manifest.model_copy(update={"job": ref, "base_model": base}))


def _here(hub: Hub, result: Result, name: str) -> str:
    """What a base is called on this machine: a folder that was brought to the job has its own name again."""
    found = _BROUGHT.search(name)
    if not found:
        return name
    sources: dict[str, str] = task_of(hub, result)["files"]
    return sources.get(found[1], name)
