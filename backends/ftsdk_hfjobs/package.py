"""Our own code as one file, so that a job runs the very engine that its plan was made by."""

import functools
import hashlib
import importlib.metadata
import importlib.util
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("ftsdk", "ftsdk_local")
"""What the worker imports."""

_LEFT_OUT = {"__pycache__", "tiny-model"}
_METADATA = ("METADATA", "entry_points.txt")
_EPOCH = (1980, 1, 1, 0, 0, 0)


@functools.cache
def code() -> bytes:
    """A zip of the packages and of what they say of themselves; the same bytes for the same code."""
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
    """Ours."""
    return importlib.metadata.version("ftsdk")


def _files() -> Iterator[tuple[str, bytes]]:
    for package in PACKAGES:
        folder = _folder(package)
        for path in folder.rglob("*"):
            inside = path.relative_to(folder.parent)
            if path.is_file() and not _LEFT_OUT & {*inside.parts}:
                yield inside.as_posix(), path.read_bytes()
    ours = importlib.metadata.distribution("ftsdk")
    for name in _METADATA:
        yield f"ftsdk-{ours.version}.dist-info/{name}", (ours.read_text(name) or "").encode()


def _folder(package: str) -> Path:
    found = importlib.util.find_spec(package)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent
