"""Files of weights are rewritten a tensor at a time, in the form that safetensors' own library reads."""

import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from ftsdk.artifact import tensors_in
from ftsdk.errors import ArtifactError
from ftsdk.posttrain.weights import DTYPES, layout_of, rewrite, shards_of

SHAPES = st.lists(st.integers(0, 5), max_size=3)
TENSORS = st.dictionaries(
    st.text(min_size=1, max_size=12).filter(lambda name: name != "__metadata__"),
    st.builds(
        lambda shape, dtype: torch.arange(torch.Size(shape).numel()).reshape(shape).to(dtype),
        SHAPES,
        st.sampled_from([*DTYPES.values(), torch.int8, torch.int64, torch.bool]),
    ),
    max_size=6,
)


@given(TENSORS)
def test_what_is_rewritten_unchanged_is_the_same(tensors):
    """Every tensor of every type and shape comes out as it went in, under its name, in a sound file."""
    with tempfile.TemporaryDirectory() as name:
        source, target = Path(name, "model.safetensors"), Path(name, "again.safetensors")
        save_file(tensors, source)
        [shard] = shards_of(source.parent)

        rewrite(shard, target, shard.tensors, lambda name, tensor: tensor)

        tensors_in(target)
        again = load_file(target)
        assert tensors.keys() == again.keys()
        assert all(torch.equal(tensors[name], again[name]) for name in tensors)
        assert all(tensors[name].dtype == again[name].dtype for name in tensors)


def test_tensors_are_changed_left_out_and_added(tmp_path):
    """The tensors of the layouts are written, in their order."""
    save_file({"a": torch.zeros(2), "b": torch.ones(3), "c": torch.ones(1)}, tmp_path / "model.safetensors")
    [shard] = shards_of(tmp_path)
    head = torch.full((1, 2), 7.0)
    layouts = {"a": shard.tensors["a"], "c": shard.tensors["c"], "head": layout_of(head)}

    rewrite(shard, tmp_path / "out.safetensors", layouts, lambda name, tensor: head if name == "head" else tensor + 1)

    tensors = load_file(tmp_path / "out.safetensors")
    assert {"a": [1.0, 1.0], "c": [2.0], "head": [[7.0, 7.0]]} == {name: t.tolist() for name, t in tensors.items()}


@pytest.mark.parametrize("name", ["../model.safetensors", "/etc/passwd", "gone.safetensors"])
def test_an_index_names_files_beside_it(tmp_path, name):
    """An index that points elsewhere, or to what is not there, is refused."""
    (tmp_path / "model.safetensors.index.json").write_text(f'{{"weight_map": {{"a": "{name}"}}}}')

    with pytest.raises(ArtifactError, match="holds no"):
        shards_of(tmp_path)
