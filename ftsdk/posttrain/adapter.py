"""A LoRA adapter in a folder: the weights that it changes in its base, and how."""

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
from ftsdk.posttrain.loading import quiet_libraries

_PREFIX = "base_model.model."
"""PEFT writes it before the name of each weight."""

# loftq and corda are left out: they replace the base's weights by numbers that the adapter's files do not hold.
_INITS = re.compile(r"True|False|None|gaussian|orthogonal|eva|pissa(_niter_\d+)?|olora")
"""Values of ``init_lora_weights`` after which base and adapter alone decide what the model computes."""

LayerWeights = Mapping[str, Tensor]
"""The tensors of one adapted layer, by their names in it."""


class Adapter(NamedTuple):
    """The content of an adapter's folder."""

    config: LoraConfig
    layers: dict[str, LayerWeights]
    """From the name of an adapted layer to its tensors."""
    replacements: dict[str, Tensor]
    """Weights that replace the base's, such as a score head, by their names."""


def read_adapter(folder: Path) -> Adapter:
    """The adapter in a folder.

    Raises:
        ArtifactError: The folder holds no LoRA adapter, or one that cannot be merged.
    """
    config = _read_config(folder)
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise _not_mergeable(folder, f"it holds no {ADAPTER_WEIGHTS}, and a pickle is never loaded")
    tensors_in(folder / ADAPTER_WEIGHTS)
    layers: dict[str, dict[str, Tensor]] = {}
    replacements = {}
    for key, tensor in load_file(folder / ADAPTER_WEIGHTS).items():
        layer, lora, name = key.removeprefix(_PREFIX).partition(".lora_")
        if lora:
            layers.setdefault(layer, {})[f"lora_{name}"] = tensor
        else:
            # PEFT saves the complete weight of an adapted embedding, too: under base_layer, which the base lacks.
            replacements[layer.replace(".base_layer.", ".")] = tensor
    for layer in layers:
        # Without this check a layer that the configuration does not name would be merged here, and left out by PEFT.
        if not check_target_module_exists(config, layer):
            raise _not_mergeable(folder, f"it holds weights for {layer}, which its target_modules do not name")
    return Adapter(config, dict(layers), replacements)


def _read_config(folder: Path) -> LoraConfig:
    fields = json.loads((folder / ADAPTER_CONFIG).read_text("utf-8"))
    if fields.get("peft_type") != "LORA":
        raise _not_mergeable(folder, f"it is no LoRA adapter but {fields.get('peft_type')}")
    init = str(fields.get("init_lora_weights"))
    if not _INITS.fullmatch(init):
        raise _not_mergeable(
            folder, f"init_lora_weights={init} has changed the base's weights, and they were not saved"
        )
    try:
        with quiet_libraries():
            config: LoraConfig = PeftConfig.from_pretrained(folder)
            return config
    except (ImportError, TypeError, ValueError) as error:
        raise _not_mergeable(folder, str(error).partition("\n")[0]) from error


def merge_layer(config: LoraConfig, layer: nn.Module, path: str, weight: Tensor, tensors: LayerWeights) -> Tensor:
    """A layer's weight with its adapter merged into it, computed in float32 by PEFT's own layer.

    Args:
        config: The adapter's.
        layer: The base's layer, possibly without numbers (on ``meta``); it is not changed.
        path: The layer's name in the model; ``rank_pattern`` and ``alpha_pattern`` match it.
        weight: The layer's weight.
        tensors: The layer's tensors in the adapter.

    Returns:
        In the type of ``weight``.

    Raises:
        ArtifactError: Base and adapter do not fit, or the merged weight holds NaN or infinity.
    """
    base: Any = copy.deepcopy(layer)
    base.weight = nn.Parameter(weight.to(torch.float32), requires_grad=False)
    base.bias = None  # LoRA's merge does not change it
    # PEFT decides by a layer's full name which rank and alpha it has, so the layer stands under that name.
    root = _nested(path, base)
    with quiet_libraries():
        inject_adapter_in_model(_layer_config(config, path), root)
    tuned: Any = root.get_submodule(path)
    _fill(tuned, path, tensors)
    try:
        tuned.merge(safe_merge=True)
    except (NotImplementedError, ValueError) as error:
        raise ArtifactError(
            f"the adapter breaks {path}: {error}", hint="the training has diverged: see its losses"
        ) from error
    merged: Tensor = tuned.get_base_layer().weight.data.to(weight.dtype)
    return merged


def _layer_config(config: LoraConfig, path: str) -> LoraConfig:
    """The adapter's settings for one layer."""
    single = copy.deepcopy(config)
    single.target_modules = {path}
    single.exclude_modules = single.layers_to_transform = single.layers_pattern = single.modules_to_save = None
    # PiSSA and OLoRA subtract the adapter's first value from the base, and only their init computes that residue. Any
    # other init is skipped, since the loaded tensors replace its numbers.
    if not str(single.init_lora_weights).startswith(("pissa", "olora")):
        single.init_lora_weights = False
    single.inference_mode = True
    return single


def _nested(path: str, layer: nn.Module) -> nn.Module:
    """A model that holds nothing but one layer, under its name."""
    module = layer
    for name in reversed(path.split(".")):
        parent = nn.Module()
        parent.add_module(name, module)
        module = parent
    return module


def _fill(tuned: nn.Module, path: str, tensors: LayerWeights) -> None:
    """Copy the adapter's tensors into PEFT's layer: each of its parameters gets one."""
    # Files do not hold the adapter's name, which is PEFT's "default" here.
    parameters: dict[str, nn.Parameter | None] = {
        name.replace(".default", ""): parameter
        for name, parameter in tuned.named_parameters()
        if name.startswith("lora_")
    }
    for name, tensor in tensors.items():
        # PEFT saves DoRA's magnitude without the suffix.
        parameter = parameters.pop(name if name in parameters else f"{name}.weight", None)
        if parameter is None or parameter.shape != tensor.shape:
            raise ArtifactError(f"the adapter's {path}.{name} does not fit the base", hint="give its own base model")
        parameter.data = tensor.to(torch.float32)
    if parameters:
        raise ArtifactError(f"the adapter lacks {path}.{next(iter(parameters))}", hint="fetch it again")


def _not_mergeable(folder: Path, reason: str) -> ArtifactError:
    hint = "merge it with the tool that made it"
    return ArtifactError(f"the adapter in {folder} cannot be merged: {reason}", hint=hint)
