"""The base that an adapter stands on."""

import json
from pathlib import Path

from pydantic import ValidationError

from ftsdk.artifact import MANIFEST
from ftsdk.artifact.manifest import read_manifest
from ftsdk.kit.sources import ADAPTER_CONFIG
from ftsdk_local.settings import ModelSettings


def base_of(folder: Path) -> ModelSettings:
    """The base as it was held in training; where the plan is not the local engine's own, unquantized.

    Args:
        folder: Of an adapter.
    """
    if not (folder / MANIFEST).is_file():
        adapter = json.loads((folder / ADAPTER_CONFIG).read_text("utf-8"))
        return _unquantized(adapter["base_model_name_or_path"], adapter.get("revision"))
    manifest = read_manifest(folder)
    try:
        return ModelSettings.model_validate(manifest.plan.get("model"))
    except ValidationError:  # another backend's plan has words of its own
        return _unquantized(manifest.base_model, manifest.base_model_revision)


def _unquantized(name: str, revision: str | None) -> ModelSettings:
    return ModelSettings(
        name=name,
        revision=revision,
        dtype="auto",
        quantization=None,
        attention="auto",
        trust_remote_code=False,
    )
