"""Advice on how to fit the job to a machine; a managed backend may set it aside, and notes it in the plan."""

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from ftsdk.spec.base import SpecSection

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def _bytes(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,9})?)\s*([A-Za-z]*)\s*", value)
    if not match or match[2].upper() not in _UNITS:
        raise ValueError('expected an amount of memory such as "24GiB" or "800MB"')
    return int(float(match[1]) * _UNITS[match[2].upper()])


def _seconds(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d{1,9}(?:\.\d{1,9})?)\s*([smhd]?)\s*", value)
    if not match:
        raise ValueError('expected a time such as "90m" or "12h"')
    return int(float(match[1]) * _SECONDS[match[2]])


def _none_as_null(value: Any) -> Any:
    return None if value == "none" else value


class Compute(SpecSection):
    """Advice: these fields change how the job fits the machine, not what is learned."""

    quantization: Annotated[
        Literal["nf4", "fp4", "int8"] | None,
        BeforeValidator(_none_as_null, json_schema_input_type=Literal["nf4", "fp4", "int8", "none"] | None),
    ] = None
    """Quantize the frozen base while an adapter trains; with LoRA, ``nf4`` is QLoRA (arXiv 2305.14314)."""
    double_quantization: bool = True
    """Quantize the 4-bit scales as well; saves 0.4 bits per weight."""
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """Precision of computation; ``auto`` takes bfloat16 where the device computes in it, else float16, else float32."""
    per_device_train_batch_size: Annotated[int, Field(ge=1)] | None = None
    """Sequences at a time on one device. Blank: as many as fit; ``global_batch_size`` is kept either way."""
    gradient_checkpointing: bool | None = None
    """Recompute activations instead of keeping them. Blank: only when the forecast says that it is needed."""
    attention: Literal["auto", "sdpa", "flash_attention_2", "eager"] = "auto"
    """The attention kernel; ``auto`` takes the fastest that is right for packed rows."""
    memory_limit: Annotated[int, Field(gt=0), BeforeValidator(_bytes, json_schema_input_type=int | str)] | None = None
    """Most memory to use on one device, for example ``"24GiB"``. Blank: what the device has."""
    devices: Annotated[int, Field(ge=1)] = 1
    """Accelerators on each node."""
    nodes: Annotated[int, Field(ge=1)] = 1
    """Machines."""
    timeout: Annotated[int, Field(gt=0), BeforeValidator(_seconds, json_schema_input_type=int | str)] | None = None
    """Longest time to run, for example ``"12h"``, after which the job stops with its last checkpoint kept."""
