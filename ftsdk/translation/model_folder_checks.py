"""What the folder of a complete model lacks to be trained, by its files' names and headers; nothing is loaded."""

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from ftsdk.artifact.model_files import (
    ADAPTER_CONFIG,
    CONFIG,
    GENERATION_CONFIG,
    TOKENIZER_CONFIG,
    WEIGHTS,
    WEIGHTS_INDEX,
    is_pickled_model,
    is_tokenizer,
)
from ftsdk.artifact.safetensors import tensors_in
from ftsdk.errors import ArtifactError, Problem, SpecError
from ftsdk.forecast import Architecture
from ftsdk.translation.config_files import REPLACE_MODEL, find_damage, read_object
from ftsdk.translation.model_source import config_of

_OPTIONAL_FILES = (TOKENIZER_CONFIG, GENERATION_CONFIG)
"""Loaders have defaults where they are absent, and fail where they are damaged."""


def model_problems(name: str) -> list[Problem]:
    """What is missing or damaged; nothing where the name is no folder of a complete model.

    A plan and a forecast need the config alone, so they warn; a job is refused (:func:`check_trainable`).
    """
    folder = Path(name).expanduser()
    if not (folder / CONFIG).is_file() or (folder / ADAPTER_CONFIG).is_file():
        return []
    names = {file.name for file in folder.iterdir()}
    problems = [Problem("model", message, fix) for message, fix in _weight_problems(folder, names)]
    damages = (find_damage(folder / file) for file in _OPTIONAL_FILES if file in names)
    problems += [Problem("model", damage, REPLACE_MODEL) for damage in damages if damage]
    if not any(map(is_tokenizer, names)):
        problems.append(Problem("model", f"{folder} holds no tokenizer", "copy the model's tokenizer.json there"))
    return problems


def check_trainable(name: str) -> None:
    """Start no job, and upload nothing, with a model that cannot be trained.

    Raises:
        SpecError: The folder lacks weights or a tokenizer, or they are damaged.
    """
    if problems := model_problems(name):
        raise SpecError("this model cannot be trained", problems=problems)


def _weight_problems(folder: Path, names: Collection[str]) -> Iterator[tuple[str, str]]:
    """What is wrong with the weights, and the next step."""
    if WEIGHTS in names or WEIGHTS_INDEX in names:
        try:
            files = {WEIGHTS} if WEIGHTS in names else _shards(folder / WEIGHTS_INDEX)
            if missing := sorted(files.difference(names)):
                yield f"{folder} lacks {', '.join(missing[:3])} of its weights", REPLACE_MODEL
                return
            tensors = frozenset().union(*(tensors_in(folder / file) for file in files))
        except ArtifactError as error:
            yield error.message, REPLACE_MODEL
        else:
            yield from (
                (f"the files in {folder} lack {layers}", REPLACE_MODEL) for layers in _missing_layers(folder, tensors)
            )
    elif pickles := sorted(filter(is_pickled_model, names)):
        reason = f"the weights in {folder} are a pickle ({pickles[0]}), which ftsdk never loads"
        yield reason, "save them as safetensors, with Transformers' save_pretrained"
    else:
        yield f"{folder} holds no weights ({WEIGHTS})", "give the folder of a complete model"


def _shards(index: Path) -> set[str]:
    """The files that an index names.

    Raises:
        ArtifactError: It names none, or is no index.
    """
    files = (read_object(index) or {}).get("weight_map")
    if not isinstance(files, dict) or not files or not all(isinstance(file, str) for file in files.values()):
        raise ArtifactError(f"{index} is damaged: its weight_map does not map tensors to files", hint=REPLACE_MODEL)
    return set(files.values())


def _missing_layers(folder: Path, tensors: Collection[str]) -> Iterator[str]:
    """Linear layers of the blocks, where the type of model is known."""
    # Transformers loads such a model all the same, and fills what is missing with random weights.
    config = config_of(str(folder), None) or {}
    architecture = Architecture.from_config(config)
    if architecture is None or "quantization_config" in config:
        return
    present = {(int(match[1]), match[2]) for name in tensors if (match := _LAYER.search(name))}
    missing = [
        f"{linear.name} of layer {block}"
        for block in range(architecture.layers)
        for linear in architecture.linears
        if (block, linear.name) not in present
    ]
    if missing:
        yield missing[0] + (f" and {len(missing) - 1} other weights" if missing[1:] else "")


_LAYER = re.compile(r"\.(\d+)\.(?:[\w.]+\.)?(\w+)\.weight$")
"""The number of a block, and the name of a layer in it."""
