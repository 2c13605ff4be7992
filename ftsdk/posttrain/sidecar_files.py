"""What stands beside the weights, so that a folder can be served as it is: tokenizer, template, ends of answers."""

import json
import shutil
from pathlib import Path
from typing import Any

from transformers import GenerationConfig

from ftsdk.artifact import MANIFEST
from ftsdk.artifact.model_files import ADAPTER_CONFIG, is_model_file
from ftsdk.errors import ArtifactError
from ftsdk.modeling.stop_tokens import stop_tokens
from ftsdk.posttrain.loading import load_tokenizer, told
from ftsdk.posttrain.source_model import CONFIG, SourceModel
from ftsdk.posttrain.weights import INDEX

GENERATION = "generation_config.json"
_TOKENIZER = "tokenizer_config.json"
_MADE_ANEW = frozenset({MANIFEST, CONFIG, GENERATION, INDEX, ADAPTER_CONFIG, "README.md", "Modelfile"})


def copy_companions(origin: SourceModel, target: Path) -> None:
    """Copy every file of a model or an adapter but weights and what is made anew."""
    names = origin.manifest.files if origin.manifest else [name for name in origin.files if is_model_file(name)]
    for name in names:
        if name not in _MADE_ANEW and not name.endswith(".safetensors"):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(origin.folder / name, target / name)


def has_tokenizer(origin: SourceModel) -> bool:
    """Whether the tokenizer was saved with it."""
    return (origin.folder / _TOKENIZER).is_file()


def settle_tokenizer(target: Path, trained: Path) -> Any:
    """See that a folder's chat template is the trained one, and write it where older readers look for it, too.

    Servers that know nothing of ``chat_template.jinja`` read it from ``tokenizer_config.json``.

    Args:
        target: What is being made.
        trained: Where the tokenizer of the training is.

    Returns:
        The tokenizer, as the folder gives it.

    Raises:
        ArtifactError: The template is another one.
    """
    wanted = load_tokenizer(trained).chat_template
    if wanted is not None:
        config = json.loads((target / _TOKENIZER).read_text("utf-8"))
        text = json.dumps({**config, "chat_template": wanted}, indent=2, ensure_ascii=False)
        (target / _TOKENIZER).write_text(text + "\n", "utf-8")
    tokenizer = load_tokenizer(target)
    if tokenizer.chat_template != wanted:
        raise ArtifactError(f"{target} does not give the chat template of {trained}", hint="report this")
    return tokenizer


def write_generation(model: Path, target: Path, tokenizer: Any) -> list[str]:
    """The model's generation settings, with the token that ends an answer in the trained template.

    Without it, a server that has not been told would talk on behind the answer.

    Returns:
        The tokens that end an answer.
    """
    with told(model):
        has_some = (model / GENERATION).is_file()
        generation = GenerationConfig.from_pretrained(model) if has_some else GenerationConfig()
    stops = sorted(stop_tokens(tokenizer, generation))
    generation.eos_token_id = stops if len(stops) > 1 else next(iter(stops), None)
    generation.save_pretrained(target)
    return [str(token) for token in tokenizer.convert_ids_to_tokens(stops)]
