"""The kinds of quantization, as data: what each does, the library that does it, and what it needs."""

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
from transformers import BitsAndBytesConfig, TorchAoConfig

from ftsdk.errors import InputError, MissingExtra
from ftsdk.modeling.qat import GROUP, RECIPES

_AMPERE = (8, 0)
"""The compute capability of the oldest NVIDIA GPUs that torchao's kernel for packed int4 runs on."""


class QuantizationKind(NamedTuple):
    """One way to quantize the weights of a model."""

    description: str
    """For people."""
    library: str
    """The module that quantizes, and that loading the quantized model needs."""
    config: Callable[[], Any]
    """Transformers' quantization configuration."""
    dtype: torch.dtype | None = None
    """The type that all other weights must have; None: the model's own."""
    group: int = 1
    """Weights of a row that share a scale; the length of a row must be a multiple of it."""
    on_gpu: bool = False
    """Whether it needs an NVIDIA GPU, to quantize and to run."""


def _torchao(name: str, **options: Any) -> Any:
    from torchao import quantization  # noqa: PLC0415 - an extra of its own

    return TorchAoConfig(getattr(quantization, name)(**options))


def _recipe(name: str) -> Callable[[], Any]:
    """The configuration that quantization-aware training rounds by, so that the trained rounding is the saved one."""
    return lambda: TorchAoConfig(RECIPES[name]())


def _nf4() -> Any:
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,  # the default, float32, is slower on GPUs
    )


KINDS: Mapping[str, QuantizationKind] = {
    "int8": QuantizationKind("weights in 8 bits, a scale for each row", "torchao", _recipe("int8")),
    "int8-dynamic": QuantizationKind(
        "weights in 8 bits, and activations too, with scales computed at run time",
        "torchao",
        lambda: _torchao("Int8DynamicActivationInt8WeightConfig"),
    ),
    "int4": QuantizationKind(
        f"weights of 4 bits, a scale for every {GROUP}, but each in a byte of its own, so no smaller than int8",
        "torchao",
        _recipe("int4"),
        group=GROUP,
    ),
    "int8-dynamic-int4-weight": QuantizationKind(
        f"activations in 8 bits, scaled at run time, and weights of 4 bits, a scale for every {GROUP}, each in a byte",
        "torchao",
        _recipe("int8-dynamic-int4-weight"),
        group=GROUP,
    ),
    "int4-packed": QuantizationKind(
        f"weights in 4 bits, two to a byte, a scale for every {GROUP}",
        "torchao",
        lambda: _torchao("Int4WeightOnlyConfig", group_size=GROUP, int4_packing_format="tile_packed_to_4d"),
        dtype=torch.bfloat16,
        group=GROUP,
        on_gpu=True,
    ),
    "nf4": QuantizationKind("weights in 4 bits, two to a byte, as in QLoRA", "bitsandbytes", _nf4),
}
"""From its name to each kind. All of them leave embeddings and output heads unchanged."""

_GGUF = """\
no maintained package converts to GGUF; use llama.cpp's own script on a merged or base model:
    python llama.cpp/convert_hf_to_gguf.py MODEL --outfile model-f16.gguf --outtype f16
    llama-quantize model-f16.gguf model-Q4_K_M.gguf Q4_K_M"""


def quantization_kind(name: str) -> QuantizationKind:
    """A kind by its name, if it is supported on this machine.

    Raises:
        InputError: There is no such kind, or this machine does not support it.
        MissingExtra: Its library is not installed.
    """
    if name.partition("-")[0] == "gguf":
        raise InputError(f"ftsdk does not support {name}", hint=_GGUF)
    kind = KINDS.get(name)
    if kind is None:
        raise InputError(f"there is no quantization {name!r}", hint=f"one of: {', '.join(KINDS)}")
    if find_spec(kind.library) is None:
        raise MissingExtra("quantize", kind.library)
    if kind.on_gpu and not (torch.cuda.is_available() and torch.cuda.get_device_capability() >= _AMPERE):
        raise InputError(
            f"{name} needs an NVIDIA GPU of the Ampere generation or newer, and this machine has none",
            hint="nf4 packs 4 bits on any machine; int4 computes almost the same there, in a byte for each weight",
        )
    return kind
