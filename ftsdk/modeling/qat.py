"""Quantization-aware training: linear layers compute with weights rounded as they will be served.

Gradients pass the rounding as if it were not there (the straight-through estimator, arXiv 1712.05877, arXiv 1308.3432),
so that training finds weights that lose little when they are rounded. With an adapter it is the merged weight that is
rounded, because that is what is quantized in the end. The weights themselves are never rounded: they are saved in full
precision, and ``ftsdk quantize`` rounds them afterwards.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

Round = Callable[[Tensor], Tensor]

GROUP = 32
"""Weights that share a scale in 4 bits: finer than torchao's 128, which costs small models much of their accuracy."""


def _four_bits(name: str, option: str) -> Any:
    from torchao import quantization  # noqa: PLC0415 - an extra of its own

    grouped = quantization.PerGroup(GROUP)
    return getattr(quantization, name)(weight_dtype=torch.int4, **{option: grouped})  # type: ignore[attr-defined]


def _eight_bits() -> Any:
    from torchao.quantization import IntxWeightOnlyConfig, PerAxis  # noqa: PLC0415 - an extra of its own

    return IntxWeightOnlyConfig(weight_dtype=torch.int8, granularity=PerAxis(0))


RECIPES: Mapping[str, Callable[[], Any]] = {
    "int8": _eight_bits,
    "int4": partial(_four_bits, "IntxWeightOnlyConfig", "granularity"),
    "int8-dynamic-int4-weight": partial(_four_bits, "Int8DynamicActivationIntxWeightConfig", "weight_granularity"),
}
"""From a field's value to torchao's configuration, with which the finished model is quantized."""


def round_linears(model: nn.Module, kind: str) -> int:
    """Let every linear layer but the head compute with rounded weights.

    Args:
        model: With or without an adapter of PEFT's.
        kind: One of :data:`RECIPES`.

    Returns:
        How many layers do.
    """
    activation, weight = _rounders(kind)
    layers = list(_linears(model))
    for layer in layers:
        # Only forward is replaced. torchao would put modules of its own in place of the layers, which would rename the
        # weights in checkpoints and artifacts, and does not know PEFT's adapters.
        layer.forward = partial(_forward, layer, activation, weight)
    return len(layers)


def _rounders(kind: str) -> tuple[Round, Round]:
    """The functions that round activations and weights."""
    from torchao.quantization import quantize_  # noqa: PLC0415 - an extra of its own
    from torchao.quantization.qat import QATConfig  # noqa: PLC0415 - same

    # torchao prepares a throwaway layer with the configuration that quantizes in the end, and its functions are used
    # here: training and serving round to the bit alike, and no formula is written twice.
    probe = nn.Sequential(nn.Linear(GROUP, 1))
    quantize_(probe, QATConfig(RECIPES[kind](), step="prepare"))
    layer: Any = probe[0]
    return layer.activation_fake_quantizer or (lambda tensor: tensor), layer.weight_fake_quantizer


def _linears(model: nn.Module) -> Iterator[nn.Module]:
    """Linear layers, and adapters on them in their place; not the head, which is not quantized."""
    head = getattr(model, "get_output_embeddings", lambda: None)()
    # An adapter's layer contains its base and its matrices A and B, all linear layers: they are skipped, since the
    # adapter's own forward computes the merged weight.
    skipped = {id(head)}
    for module in model.modules():
        if id(module) in skipped or not isinstance(_base(module), nn.Linear):
            continue
        skipped |= {id(part) for part in module.modules()}
        yield module


def _base(module: Any) -> Any:
    """The layer itself, also where an adapter is on it."""
    return module.get_base_layer() if hasattr(module, "get_base_layer") else module


def _forward(layer: Any, activation: Round, weight: Round, inputs: Tensor, *_: Any, **__: Any) -> Tensor:
    base = _base(layer)
    rounded = weight(_merged(layer))
    return functional.linear(activation(inputs), rounded.to(inputs.dtype), base.bias)


def _merged(layer: Any) -> Tensor:
    """The base's weight with what the active adapters add to it, in the base's precision."""
    base_weight: Tensor = _base(layer).weight
    if getattr(layer, "disable_adapters", True):
        return base_weight
    change = sum(
        (layer.lora_B[name].weight @ layer.lora_A[name].weight) * layer.scaling[name]
        for name in layer.active_adapters
        if name in layer.lora_A
    )
    return (base_weight + change).to(base_weight.dtype)  # adapters are in float32, the base may be in fewer bits
