"""Seal an artifact with its manifest, which is written last, and verify it by the manifest."""

import re
import shutil
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from ftsdk.artifact.manifest import MANIFEST, SAFE_NAME, FileRecord, Manifest, read_manifest
from ftsdk.artifact.model_files import ADAPTER_CONFIG, ADAPTER_WEIGHTS, CONFIG
from ftsdk.artifact.safetensors import tensors_in
from ftsdk.errors import ArtifactError
from ftsdk.files import sha256, write_atomic

PICKLES = frozenset({".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth"})
"""Endings of files that may run code when they are loaded; an artifact never holds one."""

_CONFIG = {"adapter": ADAPTER_CONFIG, "model": CONFIG}
_WEIGHTS = {"adapter": ADAPTER_WEIGHTS, "model": "*.safetensors"}


def write_sealed(folder: Path, manifest: Manifest) -> Manifest:
    """Record every file of a finished folder, and write the manifest last.

    Args:
        folder: The output of a job or a step.
        manifest: Of its origin; its ``files`` are filled in here.

    Raises:
        ArtifactError: The folder holds a file that an artifact must not hold, or lacks the weights.
    """
    present = {name: path for name, path in _walk(folder) if name != MANIFEST}
    if unsafe := [name for name in present if not re.fullmatch(SAFE_NAME, name)]:
        raise _damaged(folder, unsafe[0], "has a name that an artifact must not hold")
    files = {name: FileRecord(size=path.stat().st_size, sha256=sha256(path)) for name, path in present.items()}
    sealed = manifest.model_copy(update={"files": files})
    _check_layout(folder, sealed)
    write_atomic(folder / MANIFEST, sealed.model_dump_json(indent=2) + "\n")
    # An atomic write makes a private file, but the manifest gets the read permissions of the weights.
    shutil.copymode(folder / _CONFIG[sealed.kind], folder / MANIFEST)
    return sealed


def verify(folder: Path) -> Manifest:
    """Check that a folder holds what its manifest lists, and nothing that runs code when it is loaded.

    Harmless files that were added later are ignored.

    Raises:
        ArtifactError: With the first file that is wrong.
    """
    manifest = read_manifest(folder)
    present = dict(_walk(folder))
    for name, record in manifest.files.items():
        if name not in present:
            raise _damaged(folder, name, "is missing")
        if present[name].stat().st_size != record.size or sha256(present[name]) != record.sha256:
            raise _damaged(folder, name, "has changed since it was sealed")
    _check_layout(folder, manifest)
    return manifest


def _walk(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every file of a folder by its relative path; links and pickles are refused."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise _damaged(folder, name, "is a link or no plain file")
        if path.suffix.lower() in PICKLES:
            raise _damaged(folder, name, "may run code when it is loaded; weights belong in safetensors")
        if path.is_file():
            yield name, path


def _check_layout(folder: Path, manifest: Manifest) -> None:
    """Check that configuration and weights of its kind are there, and that the weights are sound."""
    for pattern in (_CONFIG[manifest.kind], _WEIGHTS[manifest.kind]):
        if not any(fnmatchcase(name, pattern) for name in manifest.files):
            raise _damaged(folder, pattern, f"is missing, so this is no {manifest.kind}")
    for name in manifest.files:
        if name.endswith(".safetensors"):
            tensors_in(folder / name)


def _damaged(folder: Path, name: str, problem: str) -> ArtifactError:
    return ArtifactError(f"{folder}: {name!r} {problem}", hint="fetch the job again, into an empty folder")
