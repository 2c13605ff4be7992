"""Check a safetensors file by its header, without loading a tensor.

Weights come from hosted services and third parties, so the header is not trusted: readers allocate and map what it
states, and a false one may make them read past the file, or hide bytes in it.

The layout (https://github.com/huggingface/safetensors, "Format"): 8 bytes with the length of the header, the header
as JSON, and the bytes of the tensors, without a gap.
"""

import json
import math
from pathlib import Path
from typing import Annotated

from pydantic import Field, StrictInt, StrictStr, TypeAdapter, ValidationError

from ftsdk.errors import ArtifactError
from ftsdk.spec.base import Section

_LARGEST_HEADER = 100_000_000  # bytes; the limit of the reference implementation
_BITS = {
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "U16": 16, "I16": 16, "F16": 16, "BF16": 16,
    "U32": 32, "I32": 32, "F32": 32,
    "U64": 64, "I64": 64, "F64": 64, "C64": 64,
}  # fmt: skip

Count = Annotated[StrictInt, Field(ge=0)]


class _Tensor(Section):
    dtype: StrictStr
    shape: list[Count]
    data_offsets: tuple[Count, Count]


_TENSORS = TypeAdapter(dict[str, _Tensor])


def tensors_in(path: Path) -> frozenset[str]:
    """The names of the tensors, if the header is sound and the tensors fill the file exactly.

    Raises:
        ArtifactError: The file is damaged; with the reason.
    """
    with path.open("rb") as file:
        size = path.stat().st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or not 2 <= length <= min(size - 8, _LARGEST_HEADER):
            raise _damaged(path, "the header does not fit into the file")  # before so many bytes are read
        tensors = _parse(path, file.read(length))
    # In the order of their offsets, each tensor must begin where the one before ends: so none overlaps another, and no
    # bytes are left over that could hide something.
    end = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: item[1].data_offsets):
        begin, stop = tensor.data_offsets
        if tensor.dtype not in _BITS:
            raise _damaged(path, f"the tensor {name!r} has an unknown type")
        if begin != end or (stop - begin) * 8 != math.prod(tensor.shape) * _BITS[tensor.dtype]:
            raise _damaged(path, f"the tensor {name!r} leaves a gap, overlaps another, or has the wrong size")
        end = stop
    if end != size - 8 - length:
        raise _damaged(path, "the tensors do not fill the file")
    return frozenset(tensors)


def _parse(path: Path, header: bytes) -> dict[str, _Tensor]:
    try:
        fields = json.loads(header.decode("utf-8"))
        if isinstance(fields, dict):
            fields.pop("__metadata__", None)
        return _TENSORS.validate_python(fields)
    except (ValueError, RecursionError, ValidationError) as error:
        raise _damaged(path, "the header is not a table of tensors") from error


def _damaged(path: Path, problem: str) -> ArtifactError:
    return ArtifactError(f"{path} is no sound safetensors file: {problem}", hint="fetch the job again")
