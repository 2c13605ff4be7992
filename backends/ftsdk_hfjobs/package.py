"""Our own code as one file: a job runs the same engine that has made its plan."""

import functools
import hashlib
import importlib.metadata
import importlib.util
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("ftsdk", "ftsdk_local")
"""The packages that the worker imports."""

_EXCLUDED = {"__pycache__", "tiny-model", "cli", "demo", "testing"}
"""Folders that no job needs. The rest of ftsdk stays in, because a user's reward function may import it."""

_METADATA = ("METADATA", "entry_points.txt")
_EPOCH = (1980, 1, 1, 0, 0, 0)


@functools.cache
def code() -> bytes:
    """A zip of the packages and their metadata; the same bytes for the same code."""
    # Sorted, and with one date for all: the plan holds its hash, and a repeated submission must find it unchanged.
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(_files()):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content, zipfile.ZIP_DEFLATED)
    return out.getvalue()


@functools.cache
def code_sha256() -> str:
    """The hash of :func:`code`."""
    return hashlib.sha256(code()).hexdigest()


def version() -> str:
    """The version of ftsdk."""
    return importlib.metadata.version("ftsdk")


def _files() -> Iterator[tuple[str, bytes]]:
    for package in PACKAGES:
        folder = _folder(package)
        for path in folder.rglob("*"):
            name = path.relative_to(folder.parent)
            if path.is_file() and not _EXCLUDED & {*name.parts}:
                yield name.as_posix(), path.read_bytes()
    # The worker asks for our version and for our entry points, such as those of post-training steps.
    distribution = importlib.metadata.distribution("ftsdk")
    for file in _METADATA:
        yield f"ftsdk-{distribution.version}.dist-info/{file}", (distribution.read_text(file) or "").encode()


def _folder(package: str) -> Path:
    module = importlib.util.find_spec(package)
    assert module is not None
    assert module.origin is not None
    return Path(module.origin).parent
