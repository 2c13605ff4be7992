"""What the folder of a whole model lacks to be trained, told by its files' names and headers; nothing is loaded."""

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from ftsdk.artifact.model_files import ADAPTER_CONFIG, CONFIG, WEIGHTS, WEIGHTS_INDEX, is_pickled_model, is_tokenizer
from ftsdk.artifact.safetensors import tensors_in
from ftsdk.errors import ArtifactError, Problem, SpecError
from ftsdk.forecast import Architecture
from ftsdk.translation.model_source import config_of, read_object

_ANEW = "bring the model here anew"


def model_problems(name: str) -> list[Problem]:
    """What is missing or damaged; nothing where the name is no folder of a whole model.

    A plan and a forecast need the config alone, so they tell of it; a job is refused (:func:`check_trainable`).
    """
    folder = Path(name).expanduser()
    if not (folder / CONFIG).is_file() or (folder / ADAPTER_CONFIG).is_file():
        return []
    names = {file.name for file in folder.iterdir()}
    found = [Problem("model", what, fix) for what, fix in _of_weights(folder, names)]
    if not any(map(is_tokenizer, names)):
        found.append(Problem("model", f"{folder} holds no tokenizer", "bring the model's tokenizer.json there"))
    return found


def check_trainable(name: str) -> None:
    """Let no job begin, nor anything be uploaded, with a model that cannot be trained.

    Raises:
        SpecError: The folder lacks weights or a tokenizer, or they are damaged.
    """
    if found := model_problems(name):
        raise SpecError("this model cannot be trained", problems=found)


def _of_weights(folder: Path, names: Collection[str]) -> Iterator[tuple[str, str]]:
    """What is wrong with the weights, and the next step."""
    if WEIGHTS in names or WEIGHTS_INDEX in names:
        files = {WEIGHTS} if WEIGHTS in names else _shards(folder)
        if missing := sorted(files.difference(names)) or ([] if files else [WEIGHTS_INDEX]):
            yield f"{folder} lacks {', '.join(missing[:3])} of its weights", _ANEW
            return
        try:
            tensors = frozenset().union(*(tensors_in(folder / file) for file in files))
        except ArtifactError as error:
            yield error.message, _ANEW
        else:
            yield from ((f"the files in {folder} lack {what}", _ANEW) for what in _missing_layers(folder, tensors))
    elif pickles := sorted(filter(is_pickled_model, names)):
        why = f"the weights in {folder} are a pickle ({pickles[0]}), which ftsdk never loads"
        yield why, "save them as safetensors, with Transformers' save_pretrained"
    else:
        yield f"{folder} holds no weights ({WEIGHTS})", "give the folder of a whole model"


def _shards(folder: Path) -> set[str]:
    return set(((read_object(folder / WEIGHTS_INDEX) or {}).get("weight_map") or {}).values())


def _missing_layers(folder: Path, tensors: Collection[str]) -> Iterator[str]:
    """Linear layers of the blocks, where the type of model is known: Transformers would make them up by chance."""
    config = config_of(str(folder), None) or {}
    shape = Architecture.from_config(config)
    if shape is None or "quantization_config" in config:
        return
    held = {(int(found[1]), found[2]) for name in tensors if (found := _LAYER.search(name))}
    wanted = [(block, each.name) for block in range(shape.layers) for each in shape.linears]
    if lost := [f"{name} of layer {block}" for block, name in wanted if (block, name) not in held]:
        yield lost[0] + (f" and {len(lost) - 1} other weights" if lost[1:] else "")


_LAYER = re.compile(r"\.(\d+)\.(?:[\w.]+\.)?(\w+)\.weight$")
"""The number of a block, and the name of a layer in it."""
