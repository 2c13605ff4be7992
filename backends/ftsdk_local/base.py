"""The base that an adapter stands on, by the adapter's own word."""

import json
from pathlib import Path
from typing import Any

from ftsdk.artifact import MANIFEST
from ftsdk.kit.sources import ADAPTER_CONFIG
from ftsdk_local.settings import ModelSettings


def base_of(folder: Path) -> ModelSettings:
    """The base as the local engine held it in training; of any other adapter, unquantized.

    Args:
        folder: Of an adapter.
    """
    held = _plan_of(folder).get("model")
    if isinstance(held, dict):  # other systems have a word of their own under this name
        return ModelSettings.model_validate(held)
    adapter = json.loads((folder / ADAPTER_CONFIG).read_text("utf-8"))
    return ModelSettings(
        name=adapter["base_model_name_or_path"],
        revision=adapter.get("revision"),
        dtype="auto",
        quantization=None,
        attention="auto",
        trust_remote_code=False,
    )


def _plan_of(folder: Path) -> dict[str, Any]:
    if not (folder / MANIFEST).is_file():
        return {}
    plan: dict[str, Any] = json.loads((folder / MANIFEST).read_text("utf-8")).get("plan", {})
    return plan
