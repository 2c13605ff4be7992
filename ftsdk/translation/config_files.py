"""The small JSON files of a model folder: read, and checked for the types that a plan relies on."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ftsdk.artifact.model_files import ADAPTER_CONFIG, CONFIG

REPLACE_MODEL = "copy or download the model again"
"""The next step where a file of a model folder is damaged."""


class _Type(NamedTuple):
    """What a field of a configuration must be, where it is not null: Transformers writes null for what is absent."""

    description: str
    accepts: Callable[[Any], bool]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_text_list(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_number(value: Any) -> bool:
    """A number; some models have one for each layer."""
    return isinstance(value, int | float | list) and not isinstance(value, bool)


_TEXT = _Type("a text", _is_text)
_NUMBER = _Type("a number", _is_number)
_SIZES = (
    *("hidden_size", "intermediate_size", "vocab_size", "max_position_embeddings"),
    *("num_hidden_layers", "num_attention_heads", "num_key_value_heads"),
)
_FIELDS: Mapping[str, Mapping[str, _Type]] = {
    CONFIG: {
        "model_type": _TEXT,
        "architectures": _Type("a list of names", _is_text_list),
        **dict.fromkeys(_SIZES, _NUMBER),
        "quantization_config": _Type("an object", lambda value: isinstance(value, dict)),
    },
    ADAPTER_CONFIG: {
        "base_model_name_or_path": _TEXT,
        "revision": _TEXT,
        "task_type": _TEXT,
        "peft_type": _TEXT,
        "target_modules": _Type("a text or a list of texts", lambda value: _is_text(value) or _is_text_list(value)),
    },
}
"""From a file's name to the fields that a plan reads; others are for the loader of the model to check."""
_REQUIRED = {ADAPTER_CONFIG: ("base_model_name_or_path",)}


def read_object(file: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None where it cannot be read, or holds something else."""
    try:
        content = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def find_damage(file: Path) -> str:
    """What is wrong with a JSON file of a model folder, as a message that names it; empty: nothing."""
    reason = _find_wrong_type(file)
    return f"{file} is damaged: {reason}" if reason else ""


def _find_wrong_type(file: Path) -> str:
    config = read_object(file)
    if config is None:
        return "it is not a JSON object"
    for name in _REQUIRED.get(file.name, ()):
        if config.get(name) is None:
            return f"{name} is missing"
    for name, expected in _FIELDS.get(file.name, {}).items():
        if config.get(name) is not None and not expected.accepts(config[name]):
            return f"{name} is {config[name]!r:.100}, which is not {expected.description}"
    quantization = config.get("quantization_config")
    method = quantization.get("quant_method") if isinstance(quantization, dict) else None
    if not isinstance(method, str | None):
        return f"quant_method is {method!r:.100}, which is not a text"
    return ""
