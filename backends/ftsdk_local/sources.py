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


class InitialModel(NamedTuple):
    """The model that training begins from."""

    name: str
    """The base: a folder by its absolute path, or a Hub id."""
    revision: str | None
    adapter: Path | None = None
    """The folder of an adapter on that base."""
    lora: dict[str, Any] | None = None
    """The adapter's ``LoraConfig``, as far as it decides what trains."""


def find_model(ledger: Ledger, commit: str | None = None) -> InitialModel:
    """The model that ``model`` names, at a commit of the Hub; an adapter is used with its base."""
    model: str = ledger.use("model", "pretrained_model_name_or_path")
    spec_revision: str | None = ledger.use("model_revision", "revision")
    revision = commit or spec_revision
    folder = model_folder(ledger, "model", model)
    if folder is None:
        return InitialModel(model, revision)
    if (folder / ADAPTER_CONFIG).is_file():
        return _find_adapter(ledger, folder, commit)
    if spec_revision is not None:
        ledger.refuse("model_revision", "a folder has no revisions", "leave it out")
    check_model_folder(ledger, "model", folder)
    return InitialModel(str(folder), revision)


def _find_adapter(ledger: Ledger, folder: Path, commit: str | None) -> InitialModel:
    if damage := find_damage(folder / ADAPTER_CONFIG):
        ledger.refuse("model", damage, REPLACE_MODEL)
        return InitialModel(str(folder), commit)
    config = json.loads((folder / ADAPTER_CONFIG).read_text("utf-8"))
    if config.get("task_type") not in ("CAUSAL_LM", "SEQ_CLS") or config.get("peft_type") != "LORA":
        ledger.refuse("model", f"the adapter in {folder} is no LoRA adapter of a language model", "give a base model")
    if config.get("task_type") == "SEQ_CLS" and ledger.spec.method.type != "reward_modeling":
        ledger.refuse("model", f"{folder} holds a reward model", "name it in method.reward, and a language model here")
    if ledger.spec.adapter is None:
        problem = "is an adapter to continue from, but adapter is none, so every weight would train"
        ledger.refuse("model", problem, "give the base model, or leave adapter as it is")
    base = str(config["base_model_name_or_path"])
    if Path(base).is_absolute() and not Path(base).is_dir():
        problem = f"the adapter in {folder} was trained on {base}, which does not exist"
        ledger.refuse("model", problem, "put the base model back in that folder")
    return InitialModel(base, commit or config.get("revision"), folder, _lora_settings(folder, config))


def _lora_settings(folder: Path, config: dict[str, Any]) -> dict[str, Any]:
    """An adapter's settings, from ftsdk's manifest where there is one, or from PEFT's config."""
    # PEFT writes the resolved module names in place of all-linear, and True in place of the start that was used; the
    # plan in the manifest has both as they were set, so that repeating them in the new spec is no contradiction.
    manifest = folder / MANIFEST
    plan = json.loads(manifest.read_text("utf-8")).get("plan", {}) if manifest.is_file() else {}
    lora: dict[str, Any] = {**config, **(plan.get("lora") or {})}
    targets = lora["target_modules"]
    names = ("r", "lora_alpha", "use_dora", "use_rslora", "init_lora_weights")
    return {
        **{name: lora[name] for name in names},
        "target_modules": targets if isinstance(targets, str) else sorted(targets),
    }


def find_reward(ledger: Ledger, commit: str | None = None) -> RewardSettings:
    """The function or the model that ``method.reward`` names, at a commit of the Hub."""
    reward: str = ledger.use("method.reward", "reward")
    if is_function(reward):
        return _find_function(ledger, reward)
    folder = reward_model_folder(ledger, "method.reward", reward)
    return RewardSettings(model=str(folder)) if folder else RewardSettings(model=reward, revision=commit)


def _find_function(ledger: Ledger, reward: str) -> RewardSettings:
    """A function by the place of its module, without running any of it."""
    name = reward.partition(":")[0]
    module = _find_module(name)
    if module is None or module.origin is None:
        problem = f"there is no module {name} in this folder, nor on Python's path"
        ledger.refuse("method.reward", problem, "run from the folder that holds it, or put it on PYTHONPATH")
        return RewardSettings(function=reward)
    file = Path(module.origin).absolute()
    depth = name.count(".") + (file.stem == "__init__")
    return RewardSettings(function=reward, path=str(file.parents[depth]), sha256=sha256(file))


def _find_module(name: str) -> ModuleSpec | None:
    # importlib.util.find_spec would import the parents of a submodule, and so run the user's code while planning.
    search: Any = [str(Path.cwd()), *sys.path]
    module: ModuleSpec | None = None
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        module = PathFinder.find_spec(".".join(parts[:depth]), search)
        if module is None:
            return None
        search = module.submodule_search_locations
        if search is None and depth < len(parts):
            return None
    return module
