"""An adapter and its base, put together file by file."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ftsdk.errors import ArtifactError
from ftsdk.modeling.settings import HELD
from ftsdk.posttrain.adapter import Adapter, merged, read_adapter
from ftsdk.posttrain.loading import skeleton_of
from ftsdk.posttrain.source_model import SourceModel
from ftsdk.posttrain.weights import DTYPES, Layout, Shard, layout_of, rewrite, shards_of, widened, write_index


class Merger(NamedTuple):
    """An adapter and its base, ready to be put together."""

    origin: SourceModel
    """The adapter's folder."""
    base: SourceModel
    adapter: Adapter
    skeleton: nn.Module
    """The base's layers, without numbers."""
    shards: list[Shard]
    """The base's files."""
    dtype: torch.dtype
    """The type that most of the merged weights will have."""
    wide: bool
    """Whether all is written in float32, because a training has learned to round from there."""


def ready(origin: SourceModel, base: SourceModel) -> Merger:
    """Read what is small, and see that adapter and base fit together."""
    adapter = read_adapter(origin.folder)
    heads = [len(tensor) for name, tensor in adapter.whole.items() if name.endswith("score.weight")]
    labels = {"num_labels": next(iter(heads), 1)} if origin.scores else {}
    skeleton = skeleton_of(base.folder, scores=origin.scores, **labels)
    shards = shards_of(base.folder)
    present = {name: layout for shard in shards for name, layout in shard.tensors.items()}
    for path in adapter.parts:
        if f"{path}.weight" not in present:
            raise ArtifactError(
                f"the adapter changes {path}, and the files of {base.name} hold no {path}.weight",
                hint="merge it with PEFT's merge_and_unload, which holds the whole model in memory",
            )
    own, tied = skeleton.state_dict(), getattr(skeleton, "_tied_weights_keys", None) or ()
    for name, tensor in adapter.whole.items():
        if name not in own or own[name].shape != tensor.shape:
            raise ArtifactError(f"the adapter's {name} does not fit {base.name}", hint="give its own base model")
        if name not in present and name in tied:
            raise ArtifactError(
                f"the adapter trains {name} apart from the embeddings, which {base.name} ties together",
                hint="set tie_word_embeddings to false and give the base a weight of its own there",
            )
    wide = origin.manifest is not None and origin.manifest.plan.get(HELD) == "float32"
    dtype = torch.float32 if wide else DTYPES[_main_dtype(shards)]
    return Merger(origin, base, adapter, skeleton, shards, dtype, wide)


def write_weights(merger: Merger, aside: Path) -> None:
    """Write the base's files with the adapter in them: without heads that a scorer lacks, with a new one at the end."""
    own = merger.skeleton.state_dict().keys()
    drop = {name for shard in merger.shards for name in shard.tensors if merger.origin.scores and name not in own}
    known = {name for shard in merger.shards for name in shard.tensors}
    new = {
        name: layout_of(tensor.to(merger.dtype)) for name, tensor in merger.adapter.whole.items() if name not in known
    }
    files: dict[str, dict[str, Layout]] = {}
    for shard in merger.shards:
        kept = {
            name: widened(layout) if merger.wide else layout
            for name, layout in shard.tensors.items()
            if name not in drop
        }
        added = new if shard is merger.shards[-1] else {}
        if kept or added:
            files[shard.path.name] = {**kept, **added}
            rewrite(shard, aside / shard.path.name, files[shard.path.name], partial(_changed, merger))
    write_index(aside, files)


def _main_dtype(shards: list[Shard]) -> str:
    """The type that most of the weights have.

    Raises:
        ArtifactError: It is none in which a merged weight can be stored.
    """
    sizes: dict[str, int] = {}
    for shard in shards:
        for layout in shard.tensors.values():
            sizes[layout.dtype] = sizes.get(layout.dtype, 0) + layout.size
    main = max(sizes, key=lambda dtype: sizes[dtype])
    if main not in DTYPES:
        raise ArtifactError(f"the base's weights are {main}, and merging needs {', '.join(DTYPES)}")
    return main


def _changed(merger: Merger, name: str, found: Tensor) -> Tensor:
    """The merged tensor of a name, from the base's."""
    if merger.wide and found.is_floating_point():
        found = found.to(torch.float32)
    whole = merger.adapter.whole.get(name)
    if whole is not None:
        found = whole.to(found.dtype if found.numel() else merger.dtype)
    path = name.removesuffix(".weight")
    part = merger.adapter.parts.get(path)
    if part is None:
        return found
    return merged(merger.adapter.config, merger.skeleton.get_submodule(path), path, found, part)
