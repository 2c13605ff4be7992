"""The base model that an adapter was trained on."""

from pathlib import Path

from pydantic import ValidationError

from ftsdk.artifact import MANIFEST
from ftsdk.artifact.manifest import read_manifest
from ftsdk.artifact.model_files import ADAPTER_CONFIG
from ftsdk.errors import ArtifactError
from ftsdk.modeling.settings import ModelSettings
from ftsdk.translation.config_files import read_object


def base_of(folder: Path) -> ModelSettings:
    """The base as training loaded it; unquantized where the plan does not say how it was loaded.

    Args:
        folder: Of an adapter.

    Raises:
        ArtifactError: Its configuration names none.
    """
    if not (folder / MANIFEST).is_file():
        adapter = read_object(folder / ADAPTER_CONFIG) or {}
        if not isinstance(name := adapter.get("base_model_name_or_path"), str):
            problem = f"{folder / ADAPTER_CONFIG} names no base model"
            raise ArtifactError(problem, hint="write it there, as base_model_name_or_path")
        return _unquantized(name, adapter.get("revision"))
    manifest = read_manifest(folder)
    # A plan's native request belongs to its backend. Only the local engine's (and of those that run it elsewhere) has
    # ModelSettings under "model": with them, the base is quantized here as it was in training. In other requests
    # "model" is a name, or a section with other keys, or missing; the manifest's own fields hold for all of them.
    try:
        return ModelSettings.model_validate(manifest.plan.get("model"))
    except ValidationError:
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
