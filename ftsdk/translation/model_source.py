"""Folders that a spec names as a model or a reward: on this disk, or what a job of this machine has made.

Reads config files and nothing heavier; whatever cannot be used is refused in the ledger.
"""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ftsdk.artifact.model_files import ADAPTER_CONFIG, CONFIG
from ftsdk.data.paths import HUB_ID
from ftsdk.errors import FtsdkError
from ftsdk.job_folder import JobFolder, jobs_root
from ftsdk.job_types import JobRef
from ftsdk.translation.ledger import Ledger


def model_folder(ledger: Ledger, field: str, name: str) -> Path | None:
    """The folder that a name stands for, by its whole path; None for a Hub id."""
    if _is_job(name):
        return _artifact_of(ledger, field, name)
    folder = Path(name).expanduser().absolute()
    if folder.is_dir():
        return folder
    if folder.exists():
        ledger.refuse(field, f"{folder} is a file", "give the folder that holds config.json and the weights")
    elif not HUB_ID.fullmatch(name):
        ledger.refuse(field, f"there is no folder {folder}, and {name!r} is no Hub id", "give a folder or org/name")
    return None


def _is_job(name: str) -> bool:
    """Whether a name is a job's reference, such as ``local:sft-7f3k2m``."""
    return ":" in name and "/" not in name and not Path(name).exists()


def _artifact_of(ledger: Ledger, field: str, name: str) -> Path | None:
    """The artifact of a job of this machine that has ended well."""
    try:
        artifact = JobFolder(jobs_root() / JobRef.parse(name).native_id).artifact
    except FtsdkError as error:
        ledger.refuse(field, error.message, error.hint)
        return None
    if not artifact.is_dir():
        ledger.refuse(field, f"the job {name} has made nothing yet on this machine", f"see: ftsdk status {name}")
        return None
    return artifact


def check_model_folder(ledger: Ledger, field: str, folder: Path) -> None:
    """Refuse a folder without a ``config.json`` that can be read."""
    file = folder / CONFIG
    if not file.is_file():
        ledger.refuse(field, f"the folder {folder} holds no {CONFIG}", "give the folder of a whole model")
    elif read_object(file) is None:
        ledger.refuse(field, f"{file} is no valid JSON object", "bring the model here anew")


def config_of(name: str, revision: str | None) -> dict[str, Any] | None:
    """A model's ``config.json``, where it is on this disk and can be read."""
    file = Path(name) / CONFIG
    return read_object(file) if file.is_file() else cached_config(name, revision)


def cached_config(name: str, revision: str | None) -> dict[str, Any] | None:
    """A Hub model's ``config.json`` in the cache on this disk, if it is there."""
    if find_spec("huggingface_hub") is None or not is_hub_id(name):
        return None
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 - only for Hub models

    path = try_to_load_from_cache(name, CONFIG, revision=revision)
    found: dict[str, Any] | None = json.loads(Path(path).read_text("utf-8")) if isinstance(path, str) else None
    return found


def is_hub_id(name: str) -> bool:
    """Whether a name can be a Hub id, and is no file or folder here."""
    return HUB_ID.fullmatch(name) is not None and not Path(name).expanduser().exists()


def read_object(file: Path) -> dict[str, Any] | None:
    """What a file of JSON says; None where it cannot be read, or is no object."""
    try:
        found = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def reward_model_folder(ledger: Ledger, field: str, name: str) -> Path | None:
    """The folder of a reward model; None for a Hub id."""
    folder = model_folder(ledger, field, name)
    if folder is not None and not any((folder / file).is_file() for file in (ADAPTER_CONFIG, CONFIG)):
        ledger.refuse(field, f"the folder {folder} holds no model", "give the artifact of a reward model")
    elif folder is not None and not is_reward_model(folder):
        why = f"the model in {folder} writes text; it gives no scores"
        ledger.refuse(field, why, "train one with method reward_modeling")
    return folder


def is_reward_model(folder: Path) -> bool:
    """Whether a folder holds a reward model, by its config."""
    if (folder / ADAPTER_CONFIG).is_file():
        return (read_object(folder / ADAPTER_CONFIG) or {}).get("task_type") == "SEQ_CLS"
    names = (read_object(folder / CONFIG) or {}).get("architectures") or []
    return any(name.endswith("ForSequenceClassification") for name in names)
