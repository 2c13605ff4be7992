"""Sealed checkpoints: a checkpoint is valid once its seal, written last, exists and every hash agrees."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from ftsdk.files import sha256, sync_folder, write_json

SEAL = "ftsdk-seal.json"
_NAME = re.compile(r"checkpoint-(\d+)")


class SealedCheckpoint(NamedTuple):
    """A checkpoint to resume from."""

    folder: Path
    facts: dict[str, Any]
    """As :func:`seal` was given them."""

    @property
    def step(self) -> int:
        """Optimizer steps that were done."""
        return int(self.folder.name.rpartition("-")[2])


def seal(folder: Path, facts: dict[str, Any]) -> None:
    """Make a finished checkpoint valid: hash every file, sync it, and write the seal last.

    Args:
        folder: The checkpoint, complete.
        facts: What a resumed run restores, or compares.
    """
    # The order matters: every file is on the disk before the seal says so, the seal is written aside and renamed, and
    # the parent's directory entry is synced last. A kill or a power cut at any point leaves no seal, or a true one.
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    for name in names:
        with (folder / name).open("rb+") as file:
            os.fsync(file.fileno())
    files = {name: {"size": (folder / name).stat().st_size, "sha256": sha256(folder / name)} for name in names}
    write_json(folder / SEAL, {"files": files, "facts": facts})
    sync_folder(folder.parent)


def numbered_checkpoints(checkpoints: Path) -> list[Path]:
    """All ``checkpoint-N`` folders, sealed or not, the newest last."""
    steps = [(int(match[1]), path) for path in checkpoints.iterdir() if (match := _NAME.fullmatch(path.name))]
    return [path for _, path in sorted(steps)]


def newest_sealed(checkpoints: Path) -> SealedCheckpoint | None:
    """The newest checkpoint whose seal holds; newer ones, half-written or damaged, are removed.

    Args:
        checkpoints: The folder that holds ``checkpoint-N`` folders.
    """
    for path in reversed(numbered_checkpoints(checkpoints)):
        facts = _verified_facts(path)
        if facts is not None:
            return SealedCheckpoint(path, facts)
        # Removed, because the resumed run will write a checkpoint of this name: files of both must not mix.
        shutil.rmtree(path)
    return None


def _verified_facts(folder: Path) -> dict[str, Any] | None:
    try:
        content = json.loads((folder / SEAL).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    intact = all(
        (folder / name).is_file()
        and (folder / name).stat().st_size == entry["size"]
        and sha256(folder / name) == entry["sha256"]
        for name, entry in content["files"].items()
    )
    return dict(content["facts"]) if intact else None
