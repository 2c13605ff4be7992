"""The base that an adapter stands on."""

from pathlib import Path

from pydantic import ValidationError

from ftsdk.artifact import MANIFEST
from ftsdk.artifact.manifest import read_manifest
from ftsdk.artifact.model_files import ADAPTER_CONFIG
from ftsdk.errors import ArtifactError
from ftsdk.modeling.settings import ModelSettings
from ftsdk.translation.model_source import read_object


def base_of(folder: Path) -> ModelSettings:
    """The base as it was held in training; where the plan is not the local engine's own, unquantized.

    Args:
        folder: Of an adapter.

    Raises:
        ArtifactError: Its configuration names none.
    """
    if not (folder / MANIFEST).is_file():
        adapter = read_object(folder / ADAPTER_CONFIG) or {}
        if not isinstance(name := adapter.get("base_model_name_or_path"), str):
            what = f"{folder / ADAPTER_CONFIG} names no base model"
            raise ArtifactError(what, hint="write it there, as base_model_name_or_path")
        return _unquantized(name, adapter.get("revision"))
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
