"""Merge an adapter into its base, file by file."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ftsdk.errors import ArtifactError
from ftsdk.modeling.settings import TRAINING_DTYPE
from ftsdk.posttrain.adapter import Adapter, merge_layer, read_adapter
from ftsdk.posttrain.loading import build_skeleton
from ftsdk.posttrain.source_model import SourceModel
from ftsdk.posttrain.weights import DTYPES, Layout, Shard, layout_of, rewrite, shards_of, widened, write_index


class MergeInputs(NamedTuple):
    """An adapter and its base, checked to fit together."""

    source: SourceModel
    """The adapter's folder."""
    base: SourceModel
    adapter: Adapter
    skeleton: nn.Module
    """The base's layers on the meta device."""
    shards: list[Shard]
    """The base's files."""
    dtype: torch.dtype
    """Of most of the merged weights."""
    in_float32: bool
    """Whether all weights are written in float32, because quantization-aware training rounded from there."""


def merge_inputs(source: SourceModel, base: SourceModel) -> MergeInputs:
    """Read the adapter and the headers of the base's files.

    Raises:
        ArtifactError: Adapter or base are damaged, or do not fit together.
    """
    adapter = read_adapter(source.folder)
    heads = [len(tensor) for name, tensor in adapter.replacements.items() if name.endswith("score.weight")]
    labels = {"num_labels": next(iter(heads), 1)} if source.scores else {}
    skeleton = build_skeleton(base.folder, scores=source.scores, **labels)
    shards = shards_of(base.folder)
    base_tensors = {name: layout for shard in shards for name, layout in shard.tensors.items()}
    for path in adapter.layers:
        if f"{path}.weight" not in base_tensors:
            raise ArtifactError(
                f"the adapter changes {path}, and the files of {base.name} hold no {path}.weight",
                hint="merge it with PEFT's merge_and_unload, which holds the complete model in memory",
            )
    own_weights, tied = skeleton.state_dict(), getattr(skeleton, "_tied_weights_keys", None) or ()
    for name, tensor in adapter.replacements.items():
        if name not in own_weights or own_weights[name].shape != tensor.shape:
            raise ArtifactError(f"the adapter's {name} does not fit {base.name}", hint="give its own base model")
        # Files of a tied model hold no separate weight for it; Transformers would overwrite the adapter's on loading.
        if name not in base_tensors and name in tied:
            raise ArtifactError(
                f"the adapter trains {name} apart from the embeddings, which {base.name} ties together",
                hint="set tie_word_embeddings to false, and give the base a separate weight there",
            )
    # Cast to 16 bits, weights would round to other values than quantization-aware training computed with.
    in_float32 = source.manifest is not None and source.manifest.plan.get(TRAINING_DTYPE) == "float32"
    dtype = torch.float32 if in_float32 else DTYPES[_main_dtype(shards)]
    return MergeInputs(source, base, adapter, skeleton, shards, dtype, in_float32)


def write_weights(inputs: MergeInputs, output: Path) -> None:
    """Write the base's files with the adapter merged in; a reward model's score head replaces the language model's."""
    own_names = inputs.skeleton.state_dict().keys()
    base_names = {name for shard in inputs.shards for name in shard.tensors}
    dropped = base_names - own_names if inputs.source.scores else set()
    replacements = inputs.adapter.replacements.items()
    new = {name: layout_of(tensor.to(inputs.dtype)) for name, tensor in replacements if name not in base_names}
    files: dict[str, dict[str, Layout]] = {}
    for shard in inputs.shards:
        layouts = {
            name: widened(layout) if inputs.in_float32 else layout
            for name, layout in shard.tensors.items()
            if name not in dropped
        }
        if shard is inputs.shards[-1]:  # weights that the base lacks, such as a score head
            layouts |= new
        if layouts:
            files[shard.path.name] = layouts
            rewrite(shard, output / shard.path.name, layouts, partial(_merged_tensor, inputs))
    write_index(output, files)


def _main_dtype(shards: list[Shard]) -> str:
    """The type that most of the weights have.

    Raises:
        ArtifactError: It is not a type that merged weights can have.
    """
    sizes: dict[str, int] = {}
    for shard in shards:
        for layout in shard.tensors.values():
            sizes[layout.dtype] = sizes.get(layout.dtype, 0) + layout.size
    main = max(sizes, key=lambda dtype: sizes[dtype])
    if main not in DTYPES:
        raise ArtifactError(f"the base's weights are {main}, and merging needs {', '.join(DTYPES)}")
    return main


def _merged_tensor(inputs: MergeInputs, name: str, tensor: Tensor) -> Tensor:
    """The merged tensor of a name, from the base's."""
    if inputs.in_float32 and tensor.is_floating_point():
        tensor = tensor.to(torch.float32)
    replacement = inputs.adapter.replacements.get(name)
    if replacement is not None:
        tensor = replacement.to(tensor.dtype if tensor.numel() else inputs.dtype)
    path = name.removesuffix(".weight")
    layer_weights = inputs.adapter.layers.get(path)
    if layer_weights is None:
        return tensor
    return merge_layer(inputs.adapter.config, inputs.skeleton.get_submodule(path), path, tensor, layer_weights)
