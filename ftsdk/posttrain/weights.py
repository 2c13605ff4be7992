"""Read and write safetensors files a tensor at a time, so that memory never holds a complete model.

The layout (https://github.com/huggingface/safetensors, "Format"): 8 bytes with the length of the header, the header
as JSON, and the bytes of the tensors, without a gap.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import safe_open
from torch import Tensor

from ftsdk.artifact import tensors_in
from ftsdk.artifact.manifest import SAFE_NAME
from ftsdk.artifact.model_files import WEIGHTS, WEIGHTS_INDEX
from ftsdk.errors import ArtifactError

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
"""From safetensors' names to the types that a merged weight may have."""
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


class Layout(NamedTuple):
    """A tensor's entry in a file's header."""

    dtype: str
    """By safetensors' name."""
    shape: tuple[int, ...]
    size: int
    """Bytes."""


class Shard(NamedTuple):
    """One file of weights."""

    path: Path
    tensors: dict[str, Layout]
    """In the file's order."""


def shards_of(folder: Path) -> list[Shard]:
    """The files of a model's weights.

    Raises:
        ArtifactError: There are no weights in safetensors, or a file is missing or damaged.
    """
    index = folder / WEIGHTS_INDEX
    if index.is_file():
        names = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
    else:
        names = sorted(path.name for path in folder.glob("model*.safetensors"))
    # An index may come from anywhere: a name must not lead out of the folder.
    missing = [name for name in names if not re.fullmatch(SAFE_NAME, name) or not (folder / name).is_file()]
    if missing or not names:
        raise ArtifactError(
            f"{folder} holds no {missing[0] if missing else WEIGHTS}",
            hint="give a complete model, with weights in safetensors: a pickle is never loaded",
        )
    return [Shard(folder / name, _layouts(folder / name)) for name in names]


def _layouts(path: Path) -> dict[str, Layout]:
    tensors_in(path)  # proves the header sound, so that it can be used below without checks
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    header.pop("__metadata__", None)
    ordered = sorted(header.items(), key=lambda item: item[1]["data_offsets"])
    return {
        name: Layout(entry["dtype"], tuple(entry["shape"]), entry["data_offsets"][1] - entry["data_offsets"][0])
        for name, entry in ordered
    }


def layout_of(tensor: Tensor) -> Layout:
    """A tensor's entry in the header of a file that it is written to."""
    return Layout(_NAMES[tensor.dtype], tuple(tensor.shape), math.prod(tensor.shape) * tensor.element_size())


def widened(layout: Layout) -> Layout:
    """A weight's layout in float32; that of anything else as it is."""
    if layout.dtype not in DTYPES:
        return layout
    return Layout(_NAMES[torch.float32], layout.shape, math.prod(layout.shape) * torch.float32.itemsize)


def rewrite(shard: Shard, target: Path, layouts: Mapping[str, Layout], change: Callable[[str, Tensor], Tensor]) -> None:
    """Write a changed copy of a shard, with one tensor in memory at a time.

    Args:
        shard: The file to read.
        target: The file to write.
        layouts: The tensors to write, in order.
        change: Returns the tensor of a name, from the shard's own; from an empty one for a name that the shard lacks.
    """
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, layout in layouts.items():
        offsets = [end, end := end + layout.size]
        header[name] = {"dtype": layout.dtype, "shape": list(layout.shape), "data_offsets": offsets}  # type: ignore[dict-item]
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # tensors must begin at a multiple of 8 bytes, or readers cannot map them
    with safe_open(shard.path, framework="pt") as source, target.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in layouts:
            tensor = source.get_tensor(name) if name in shard.tensors else torch.empty(0)
            # Viewed as bytes, because NumPy has no bfloat16.
            file.write(change(name, tensor).contiguous().reshape(-1).view(torch.uint8).numpy().data)


def write_index(folder: Path, files: Mapping[str, Mapping[str, Layout]]) -> None:
    """Write the index of tensors and files, if there is more than one file."""
    if len(files) < 2:
        return
    size = sum(layout.size for layouts in files.values() for layout in layouts.values())
    weight_map = {name: file for file, layouts in files.items() for name in layouts}
    index = {"metadata": {"total_size": size}, "weight_map": dict(sorted(weight_map.items()))}
    (folder / WEIGHTS_INDEX).write_text(json.dumps(index, indent=2) + "\n", "utf-8")
