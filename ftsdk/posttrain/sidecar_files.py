"""The files beside the weights that a server needs: tokenizer, chat template, generation settings."""

import json
import shutil
from pathlib import Path
from typing import Any

from transformers import GenerationConfig

from ftsdk.artifact import MANIFEST
from ftsdk.artifact.model_files import (
    ADAPTER_CONFIG,
    CONFIG,
    GENERATION_CONFIG,
    TOKENIZER_CONFIG,
    WEIGHTS_INDEX,
    is_model_file,
)
from ftsdk.errors import ArtifactError
from ftsdk.modeling.stop_tokens import stop_tokens
from ftsdk.posttrain.loading import artifact_errors, load_tokenizer
from ftsdk.posttrain.source_model import SourceModel

_REWRITTEN = frozenset({MANIFEST, CONFIG, GENERATION_CONFIG, WEIGHTS_INDEX, ADAPTER_CONFIG, "README.md", "Modelfile"})


def copy_sidecar_files(source: SourceModel, target: Path) -> None:
    """Copy every file of a model or an adapter except weights and the files that the step writes itself."""
    names = source.manifest.files if source.manifest else [name for name in source.files if is_model_file(name)]
    for name in names:
        if name not in _REWRITTEN and not name.endswith(".safetensors"):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source.folder / name, target / name)


def has_tokenizer(source: SourceModel) -> bool:
    """Whether a tokenizer was saved with the model."""
    return (source.folder / TOKENIZER_CONFIG).is_file()


def install_chat_template(target: Path, trained: Path) -> Any:
    """Write the trained chat template where every server finds it, and check that Transformers reads that one.

    Args:
        target: The output; the tokenizer's files are in it already.
        trained: The folder with the tokenizer of the training.

    Returns:
        The tokenizer, loaded from the output.

    Raises:
        ArtifactError: Transformers reads another template from the output.
    """
    template = load_tokenizer(trained).chat_template
    if template is not None:
        # Older servers do not know chat_template.jinja, and read the template from tokenizer_config.json.
        config = json.loads((target / TOKENIZER_CONFIG).read_text("utf-8"))
        text = json.dumps({**config, "chat_template": template}, indent=2, ensure_ascii=False)
        (target / TOKENIZER_CONFIG).write_text(text + "\n", "utf-8")
    tokenizer = load_tokenizer(target)
    if tokenizer.chat_template != template:
        raise ArtifactError(
            f"Transformers reads another chat template from {target} than from {trained}", hint="report this"
        )
    return tokenizer


def write_generation_config(model: Path, target: Path, tokenizer: Any) -> list[str]:
    """Write the model's generation settings, with the tokens that end an answer in the trained template.

    A base model's own settings often lack them, and a server would generate on behind the answer.

    Returns:
        The tokens that end an answer.
    """
    with artifact_errors(model):
        has_config = (model / GENERATION_CONFIG).is_file()
        generation = GenerationConfig.from_pretrained(model) if has_config else GenerationConfig()
    stops = sorted(stop_tokens(tokenizer, generation))
    generation.eos_token_id = stops if len(stops) > 1 else next(iter(stops), None)
    generation.save_pretrained(target)
    return [str(token) for token in tokenizer.convert_ids_to_tokens(stops)]
