"""A LoRA adapter in a folder: what it changes in its base, weight by weight."""

import copy
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from peft import LoraConfig, PeftConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import check_target_module_exists
from safetensors.torch import load_file
from torch import Tensor, nn

from ftsdk.artifact import tensors_in
from ftsdk.artifact.model_files import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from ftsdk.errors import ArtifactError
from ftsdk.posttrain.loading import quietly

_ROOT = "base_model.model."
"""What PEFT writes before the name of each weight."""

_STARTS = re.compile(r"True|False|None|gaussian|orthogonal|eva|pissa(_niter_\d+)?|olora")
"""Starts of an adapter after which PEFT can say, from the base and the adapter alone, what the model is."""

Part = Mapping[str, Tensor]
"""The tensors of one adapted layer, by their names in it."""


class Adapter(NamedTuple):
    """What a folder's adapter holds."""

    config: LoraConfig
    parts: dict[str, Part]
    """From an adapted layer to what adapts it."""
    whole: dict[str, Tensor]
    """Weights that take the place of the base's, such as a score head, by their names."""


def read_adapter(folder: Path) -> Adapter:
    """The adapter in a folder.

    Raises:
        ArtifactError: It is none that can be merged.
    """
    config = _read_config(folder)
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise _cannot(folder, f"it holds no {ADAPTER_WEIGHTS}, and a pickle is never loaded")
    tensors_in(folder / ADAPTER_WEIGHTS)
    parts: dict[str, dict[str, Tensor]] = {}
    whole = {}
    for key, tensor in load_file(folder / ADAPTER_WEIGHTS).items():
        layer, lora, name = key.removeprefix(_ROOT).partition(".lora_")
        if lora:
            parts.setdefault(layer, {})[f"lora_{name}"] = tensor
        else:
            whole[layer.replace(".base_layer.", ".")] = tensor  # PEFT saves some adapted layers whole, too
    for layer in parts:
        if not check_target_module_exists(config, layer):
            raise _cannot(folder, f"it holds weights for {layer}, which its target_modules do not name")
    return Adapter(config, dict(parts), whole)


def _read_config(folder: Path) -> LoraConfig:
    said = json.loads((folder / ADAPTER_CONFIG).read_text("utf-8"))
    if said.get("peft_type") != "LORA":
        raise _cannot(folder, f"it is no LoRA adapter but {said.get('peft_type')}")
    start = str(said.get("init_lora_weights"))
    if not _STARTS.fullmatch(start):
        raise _cannot(folder, f"its start, init_lora_weights={start}, has changed the base in a way of its own")
    try:
        with quietly():
            config: LoraConfig = PeftConfig.from_pretrained(folder)
            return config
    except (ImportError, TypeError, ValueError) as error:
        raise _cannot(folder, str(error).partition("\n")[0]) from error


def merged(config: LoraConfig, layer: nn.Module, path: str, weight: Tensor, part: Part) -> Tensor:
    """A base's weight with its part of the adapter in it, computed in float32 by PEFT's own layer.

    Args:
        config: The adapter's.
        layer: The base's layer, which may hold no numbers (on ``meta``); it is left as it is.
        path: The layer's name in the model, which rules for single layers look at.
        weight: The layer's weight.
        part: What adapts it.

    Returns:
        In the type of ``weight``.

    Raises:
        ArtifactError: They do not fit, or the result holds no numbers.
    """
    base: Any = copy.deepcopy(layer)
    base.weight = nn.Parameter(weight.to(torch.float32), requires_grad=False)
    base.bias = None  # no adapter of this kind touches it
    root = _nested(path, base)
    with quietly():
        inject_adapter_in_model(_for_one(config, path), root)
    tuned: Any = root.get_submodule(path)
    _fill(tuned, path, part)
    try:
        tuned.merge(safe_merge=True)
    except (NotImplementedError, ValueError) as error:
        raise ArtifactError(f"the adapter breaks {path}: {error}", hint="the training has diverged") from error
    result: Tensor = tuned.get_base_layer().weight.data.to(weight.dtype)
    return result


def _for_one(config: LoraConfig, path: str) -> LoraConfig:
    """The adapter's settings for one layer; only starts that split the base are computed again."""
    one = copy.deepcopy(config)
    one.target_modules = {path}
    one.exclude_modules = one.layers_to_transform = one.layers_pattern = one.modules_to_save = None
    if not str(one.init_lora_weights).startswith(("pissa", "olora")):
        one.init_lora_weights = False
    one.inference_mode = True
    return one


def _nested(path: str, layer: nn.Module) -> nn.Module:
    """A model that holds nothing but one layer, under its name."""
    module = layer
    for name in reversed(path.split(".")):
        parent = nn.Module()
        parent.add_module(name, module)
        module = parent
    return module


def _fill(tuned: nn.Module, path: str, part: Part) -> None:
    """Put the adapter's tensors into PEFT's layer, each where it belongs."""
    places = {}
    for name, parameter in tuned.named_parameters():
        if name.startswith("lora_"):
            places[name.replace(".default", "")] = parameter
    for name, tensor in part.items():
        place = places.pop(name, None)
        if place is None:
            place = places.pop(f"{name}.weight", None)  # as DoRA's magnitudes are saved
        if place is None or place.shape != tensor.shape:
            raise ArtifactError(f"the adapter's {path}.{name} does not fit the base", hint="give its own base model")
        place.data = tensor.to(torch.float32)
    if places:
        raise ArtifactError(f"the adapter lacks {path}.{next(iter(places))}", hint="fetch it again")


def _cannot(folder: Path, why: str) -> ArtifactError:
    return ArtifactError(f"the adapter in {folder} cannot be merged: {why}", hint="merge it with the tool that made it")
