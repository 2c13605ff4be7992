"""The files of a model or an adapter: the names that Transformers and PEFT give them, and which belong to it."""

import re
from pathlib import Path

from ftsdk.artifact.manifest import Kind

CONFIG = "config.json"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = f"{WEIGHTS}.index.json"
GENERATION_CONFIG = "generation_config.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
CHAT_TEMPLATE = "chat_template.jinja"

_MODEL = re.compile(
    r"adapter_(config\.json|model\.safetensors)|(generation_)?config\.json|model[\w.-]*\.safetensors(\.index\.json)?"
    r"|chat_template\.jinja|tokenizer(_config)?\.(json|model)|special_tokens_map\.json|added_tokens\.json"
    r"|vocab\.(json|txt)|merges\.txt|spiece\.model|sentencepiece\.bpe\.model"
)
_TOKENIZER = re.compile(
    r"tokenizer(_config)?\.(json|model)|vocab\.(json|txt)|spiece\.model|sentencepiece\.bpe\.model|tekken\.json"
)
_PICKLED = re.compile(r"(adapter_model|pytorch_model[\w.-]*)\.(bin|pt|pth)")


def artifact_kind(folder: Path) -> Kind:
    """Whether a folder holds an adapter or a whole model, by its configuration."""
    return "adapter" if (folder / ADAPTER_CONFIG).is_file() else "model"


def is_model_file(name: str) -> bool:
    """Whether a file is weights, configuration or tokenizer, in a form that runs no code."""
    return _MODEL.fullmatch(name) is not None


def is_tokenizer(name: str) -> bool:
    """Whether a tokenizer can be made of a file, or of it and others."""
    return _TOKENIZER.fullmatch(name) is not None


def is_pickled_model(name: str) -> bool:
    """Whether a file is weights in a pickle."""
    return _PICKLED.fullmatch(name) is not None
