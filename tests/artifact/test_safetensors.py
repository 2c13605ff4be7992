"""A safetensors file is sound, or it is refused: its header is never trusted."""

import json
import struct
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftsdk.artifact import tensors_in
from ftsdk.errors import ArtifactError

ZEROS = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}


def safetensors(tensors: object, body: int = 16) -> bytes:
    header = json.dumps(tensors).encode()
    return struct.pack("<Q", len(header)) + header + bytes(body)


@pytest.mark.parametrize(
    "tensors",
    [
        {"a": ZEROS},
        {"__metadata__": {"format": "pt"}, "a": ZEROS},
        {
            "a": {"dtype": "U8", "shape": [8], "data_offsets": [8, 16]},
            "b": {**ZEROS, "shape": [2], "data_offsets": [0, 8]},
        },
        {"a": ZEROS, "none": {"dtype": "F32", "shape": [0, 3], "data_offsets": [16, 16]}},
    ],
)
def test_sound_headers_pass(tensors: object, tmp_path: Path) -> None:
    """Tensors that fill the file exactly are sound, in any order, with metadata, and empty ones too."""
    (tmp_path / "w.safetensors").write_bytes(safetensors(tensors))

    tensors_in(tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "header does not fit"),
        (b"\x80\x04\x95", "header does not fit"),
        (struct.pack("<Q", 2**63) + b"{}", "header does not fit"),
        (struct.pack("<Q", 200_000_000) + b"{}", "header does not fit"),
        (struct.pack("<Q", 2) + b"[]", "not a table"),
        (struct.pack("<Q", 6) + b"\xff\xfe{}  ", "not a table"),
        (struct.pack("<Q", 40_000) + b"[" * 40_000, "not a table"),
        (safetensors({"a": {**ZEROS, "shape": [-2, -2]}}), "not a table"),
        (safetensors({"a": {**ZEROS, "shape": [2.0, 2]}}), "not a table"),
        (safetensors({"a": {**ZEROS, "dtype": "object"}}), "unknown type"),
        (safetensors({"a": {**ZEROS, "shape": [3, 2]}}), "wrong size"),
        (safetensors({"a": {**ZEROS, "data_offsets": [16, 0]}}), "wrong size"),
        (safetensors({"a": ZEROS, "b": ZEROS}), "overlaps"),
        (safetensors({"a": {**ZEROS, "data_offsets": [4, 20]}}, body=20), "gap"),
        (safetensors({"a": ZEROS}, body=15), "do not fill"),
        (safetensors({"a": ZEROS}, body=17), "do not fill"),
        (safetensors({}, body=1), "do not fill"),
    ],
)
def test_unsound_headers_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    """A header that does not match the file is refused, with the reason."""
    (tmp_path / "w.safetensors").write_bytes(content)

    with pytest.raises(ArtifactError, match=message):
        tensors_in(tmp_path / "w.safetensors")


@given(offset=st.integers(0, 100), noise=st.binary(min_size=1, max_size=30))
def test_noise_is_refused_or_sound(offset: int, noise: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever bytes a file has, it is sound or refused: never another error."""
    content = safetensors({"a": ZEROS})
    path = tmp_path_factory.getbasetemp() / "noise.safetensors"
    path.write_bytes(content[:offset] + noise + content[offset + len(noise) :])
    with suppress(ArtifactError):
        tensors_in(path)


def test_real_files_pass(tmp_path: Path) -> None:
    """What the safetensors library writes is sound, in every type that it shares with NumPy."""
    numpy = pytest.importorskip("numpy")
    library = pytest.importorskip("safetensors.numpy")
    kinds = ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")
    library.save_file({kind: numpy.zeros((3, 5), dtype=kind) for kind in kinds}, tmp_path / "w.safetensors")

    tensors_in(tmp_path / "w.safetensors")
