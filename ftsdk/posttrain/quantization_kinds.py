"""The kinds of quantization, as data: what each is, what makes it, and what it needs."""

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
from transformers import BitsAndBytesConfig, TorchAoConfig

from ftsdk.errors import InputError, MissingExtra
from ftsdk.modeling.qat import GROUP, RECIPES

_AMPERE = (8, 0)
"""The NVIDIA generation, by its compute capability, whose tensor cores torchao's packed int4 is written for."""


class Kind(NamedTuple):
    """One way of holding weights in few bits."""

    words: str
    """What it does, for people."""
    library: str
    """The module that makes it, and without which it does not load."""
    config: Callable[[], Any]
    """What Transformers is given."""
    dtype: torch.dtype | None = None
    """The only type of the other weights that it goes with; None: the model's own."""
    group: int = 1
    """Weights of a row that share a scale; a row must be a multiple of them."""
    on_gpu: bool = False
    """Whether it is made and run on NVIDIA GPUs alone."""


def _torchao(name: str, **options: Any) -> Any:
    from torchao import quantization  # noqa: PLC0415 - an extra of its own

    return TorchAoConfig(getattr(quantization, name)(**options))


def _trained_for(name: str) -> Callable[[], Any]:
    """As quantization-aware training rounds: by the same configuration."""
    return lambda: TorchAoConfig(RECIPES[name]())


def _nf4() -> Any:
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


KINDS: Mapping[str, Kind] = {
    "int8": Kind("weights in 8 bits, a scale for each row", "torchao", _trained_for("int8")),
    "int8-dynamic": Kind(
        "weights in 8 bits, and activations too, scaled as they come",
        "torchao",
        lambda: _torchao("Int8DynamicActivationInt8WeightConfig"),
    ),
    "int4": Kind(
        f"weights of 4 bits, a scale for every {GROUP}, but each in a byte of its own, so no smaller than int8",
        "torchao",
        _trained_for("int4"),
        group=GROUP,
    ),
    "int8-dynamic-int4-weight": Kind(
        f"activations in 8 bits, scaled as they come, and weights of 4 bits, a scale for every {GROUP}, each in a byte",
        "torchao",
        _trained_for("int8-dynamic-int4-weight"),
        group=GROUP,
    ),
    "int4-packed": Kind(
        f"weights in 4 bits, two to a byte, a scale for every {GROUP}",
        "torchao",
        lambda: _torchao("Int4WeightOnlyConfig", group_size=GROUP, int4_packing_format="tile_packed_to_4d"),
        dtype=torch.bfloat16,
        group=GROUP,
        on_gpu=True,
    ),
    "nf4": Kind("weights in 4 bits, two to a byte, as in QLoRA", "bitsandbytes", _nf4),
}
"""All of them leave embeddings and heads as they are."""

_GGUF = """\
no well-kept package converts to GGUF; llama.cpp's own script does, from a merged or base model:
    python llama.cpp/convert_hf_to_gguf.py MODEL --outfile model-f16.gguf --outtype f16
    llama-quantize model-f16.gguf model-Q4_K_M.gguf Q4_K_M"""


def kind_of(name: str) -> Kind:
    """A kind by its name, seen to be usable here.

    Raises:
        InputError: There is no such kind, or this machine cannot make it.
        MissingExtra: The package that makes it is not installed.
    """
    if name.partition("-")[0] == "gguf":
        raise InputError(f"ftsdk does not make {name}", hint=_GGUF)
    kind = KINDS.get(name)
    if kind is None:
        raise InputError(f"there is no quantization {name!r}", hint=f"one of: {', '.join(KINDS)}")
    if find_spec(kind.library) is None:
        raise MissingExtra("quantize", kind.library)
    if kind.on_gpu and not (torch.cuda.is_available() and torch.cuda.get_device_capability() >= _AMPERE):
        raise InputError(
            f"{name} is made and run on an NVIDIA GPU of the Ampere generation or newer, and there is none here",
            hint="nf4 packs 4 bits on any machine; int4 answers there much the same, a byte for each weight",
        )
    return kind
