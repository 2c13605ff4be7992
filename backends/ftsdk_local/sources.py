"""Where models, adapters and rewards come from: folders, the Hub, jobs that have ended, Python functions.

Reads config files and nothing heavier; whatever cannot be used is refused in the ledger.
"""

import json
import sys
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any, NamedTuple

from ftsdk.artifact import MANIFEST
from ftsdk.artifact.model_files import ADAPTER_CONFIG
from ftsdk.files import sha256
from ftsdk.spec.method import is_function
from ftsdk.translation.config_files import REPLACE_MODEL, find_damage
from ftsdk.translation.ledger import Ledger
from ftsdk.translation.model_source import check_model_folder, model_folder, reward_model_folder
from ftsdk_local.settings import RewardSettings

NAME = "local"


class Source(NamedTuple):
    """A model to begin with."""

    name: str
    """The base: a folder by its whole path, or a Hub id."""
    revision: str | None
    adapter: Path | None = None
    """The folder of an adapter on that base."""
    lora: dict[str, Any] | None = None
    """The adapter's ``LoraConfig``, as far as it was said."""


def source_of(ledger: Ledger, commit: str | None = None) -> Source:
    """What ``model`` names, at the commit that the Hub tells; an adapter is taken with its base."""
    model: str = ledger.use("model", "pretrained_model_name_or_path")
    given: str | None = ledger.use("model_revision", "revision")
    revision = commit or given
    folder = model_folder(ledger, "model", model)
    if folder is None:
        return Source(model, revision)
    if (folder / ADAPTER_CONFIG).is_file():
        return _with_adapter(ledger, folder, commit)
    if given is not None:
        ledger.refuse("model_revision", "a folder has no revisions", "leave it out")
    check_model_folder(ledger, "model", folder)
    return Source(str(folder), revision)


def _with_adapter(ledger: Ledger, folder: Path, commit: str | None) -> Source:
    if damage := find_damage(folder / ADAPTER_CONFIG):
        ledger.refuse("model", damage, REPLACE_MODEL)
        return Source(str(folder), commit)
    found = json.loads((folder / ADAPTER_CONFIG).read_text("utf-8"))
    if found.get("task_type") not in ("CAUSAL_LM", "SEQ_CLS") or found.get("peft_type") != "LORA":
        ledger.refuse("model", f"the adapter in {folder} is no LoRA adapter of a language model", "give a base model")
    if found.get("task_type") == "SEQ_CLS" and ledger.spec.method.type != "reward_modeling":
        ledger.refuse("model", f"{folder} holds a reward model", "name it in method.reward, and a language model here")
    if ledger.spec.adapter is None:
        why = "goes on from an adapter, but adapter is none, so every weight would train"
        ledger.refuse("model", why, "give the base model, or leave adapter as it is")
    base = str(found["base_model_name_or_path"])
    if Path(base).is_absolute() and not Path(base).is_dir():
        ledger.refuse("model", f"the adapter in {folder} stands on {base}, which is not here", "bring its base back")
    return Source(base, commit or found.get("revision"), folder, _lora_of(folder, found))


def _lora_of(folder: Path, found: dict[str, Any]) -> dict[str, Any]:
    """An adapter's settings; as our own artifact tells them, or as PEFT does."""
    manifest = folder / MANIFEST
    said = json.loads(manifest.read_text("utf-8")).get("plan", {}).get("lora") if manifest.is_file() else None
    source: dict[str, Any] = {**found, **(said or {})}
    targets = source["target_modules"]
    names = ("r", "lora_alpha", "use_dora", "use_rslora", "init_lora_weights")
    return {
        **{name: source[name] for name in names},
        "target_modules": targets if isinstance(targets, str) else sorted(targets),
    }


def reward_of(ledger: Ledger, commit: str | None = None) -> RewardSettings:
    """What ``method.reward`` names, at the commit that the Hub tells."""
    reward: str = ledger.use("method.reward", "reward")
    if is_function(reward):
        return _function(ledger, reward)
    folder = reward_model_folder(ledger, "method.reward", reward)
    return RewardSettings(model=str(folder)) if folder else RewardSettings(model=reward, revision=commit)


def _function(ledger: Ledger, reward: str) -> RewardSettings:
    """A function by the place of its module, found without running anything."""
    module = reward.partition(":")[0]
    found = _find_module(module)
    if found is None or found.origin is None:
        why = f"there is no module {module} here, nor on Python's path"
        ledger.refuse("method.reward", why, "run from the folder that holds it, or put it on PYTHONPATH")
        return RewardSettings(function=reward)
    file = Path(found.origin).absolute()
    depth = module.count(".") + (file.stem == "__init__")
    return RewardSettings(function=reward, path=str(file.parents[depth]), sha256=sha256(file))


def _find_module(module: str) -> ModuleSpec | None:
    search: Any = [str(Path.cwd()), *sys.path]
    found: ModuleSpec | None = None
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        found = PathFinder.find_spec(".".join(parts[:depth]), search)
        if found is None:
            return None
        search = found.submodule_search_locations
        if search is None and depth < len(parts):
            return None
    return found
