"""Folders that a spec names as a model or a reward: on this disk, or the artifact of a job of this machine.

Reads config files and nothing heavier; whatever cannot be used is refused in the ledger.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ftsdk.artifact.model_files import ADAPTER_CONFIG, CONFIG
from ftsdk.data.paths import HUB_ID
from ftsdk.errors import FtsdkError, SpecError
from ftsdk.job_folder import JobFolder, jobs_root
from ftsdk.job_types import JobRef
from ftsdk.translation.config_files import REPLACE_MODEL, find_damage, read_object
from ftsdk.translation.ledger import Ledger


def model_folder(ledger: Ledger, field: str, name: str) -> Path | None:
    """The folder that a name stands for, as an absolute path; None for a Hub id."""
    if _is_job(name):
        return _job_artifact(ledger, field, name)
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


def _job_artifact(ledger: Ledger, field: str, name: str) -> Path | None:
    """The artifact of a job of this machine that has succeeded."""
    try:
        artifact = JobFolder(jobs_root() / JobRef.parse(name).native_id).artifact
    except FtsdkError as error:
        ledger.refuse(field, error.message, error.hint)
        return None
    if not artifact.is_dir():
        ledger.refuse(field, f"the job {name} has no artifact on this machine", f"see: ftsdk status {name}")
        return None
    return artifact


def check_model_folder(ledger: Ledger, field: str, folder: Path) -> None:
    """Refuse a folder without a ``config.json`` that can be read."""
    file = folder / CONFIG
    if not file.is_file():
        ledger.refuse(field, f"the folder {folder} holds no {CONFIG}", "give the folder of a complete model")
    elif damage := find_damage(file):
        ledger.refuse(field, damage, REPLACE_MODEL)


def config_of(name: str, revision: str | None) -> dict[str, Any] | None:
    """A model's ``config.json``, where it is on this disk and can be read."""
    file = Path(name) / CONFIG
    return read_object(file) if file.is_file() else cached_config(name, revision)


def cached_config(name: str, revision: str | None) -> dict[str, Any] | None:
    """A Hub model's ``config.json`` in the cache on this disk; None where it is not there.

    Raises:
        SpecError: It is there, and damaged.
    """
    if find_spec("huggingface_hub") is None or not is_hub_id(name):
        return None
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 - only for Hub models

    path = try_to_load_from_cache(name, CONFIG, revision=revision)
    if not isinstance(path, str):  # None, or a marker of the cache for a file that the Hub does not have
        return None
    if damage := find_damage(Path(path)):
        raise SpecError(damage, hint="delete it; it is downloaded again when it is needed")
    return read_object(Path(path))


def is_hub_id(name: str) -> bool:
    """Whether a name can be a Hub id, and is no file or folder here."""
    return HUB_ID.fullmatch(name) is not None and not Path(name).expanduser().exists()


def reward_model_folder(ledger: Ledger, field: str, name: str) -> Path | None:
    """The folder of a reward model; None for a Hub id, and where it was refused as damaged."""
    folder = model_folder(ledger, field, name)
    if folder is None:
        return None
    config = next((folder / file for file in (ADAPTER_CONFIG, CONFIG) if (folder / file).is_file()), None)
    if config is None:
        ledger.refuse(field, f"the folder {folder} holds no model", "give the artifact of a reward model")
    elif damage := find_damage(config):
        ledger.refuse(field, damage, REPLACE_MODEL)
        return None
    elif not is_reward_model(folder):
        reason = f"the model in {folder} is a language model; it gives no scores"
        ledger.refuse(field, reason, "train one with method reward_modeling")
    return folder


def is_reward_model(folder: Path) -> bool:
    """Whether a folder holds a reward model, by its config."""
    if (folder / ADAPTER_CONFIG).is_file():
        return (read_object(folder / ADAPTER_CONFIG) or {}).get("task_type") == "SEQ_CLS"
    architectures = (read_object(folder / CONFIG) or {}).get("architectures")
    names = architectures if isinstance(architectures, list) else []
    return any(str(name).endswith("ForSequenceClassification") for name in names)
