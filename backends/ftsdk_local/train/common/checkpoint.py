"""Sealed checkpoints: a checkpoint counts only once its seal, written last, is there and every hash agrees."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from ftsdk.files import sha256, sync_folder, write_json

SEAL = "ftsdk-seal.json"
_NAME = re.compile(r"checkpoint-(\d+)")


def seal(folder: Path, facts: dict[str, Any]) -> None:
    """Make a finished checkpoint trusted: hash every file, sync it, and write the seal last.

    Args:
        folder: The checkpoint, complete.
        facts: What a resumed run must know or must find unchanged.
    """
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    for name in names:
        with (folder / name).open("rb+") as file:
            os.fsync(file.fileno())
    files = {name: {"size": (folder / name).stat().st_size, "sha256": sha256(folder / name)} for name in names}
    write_json(folder / SEAL, {"files": files, "facts": facts})
    sync_folder(folder.parent)


def numbered(checkpoints: Path) -> list[Path]:
    """All ``checkpoint-N`` folders, sealed or not, the newest last."""
    found = [(int(match[1]), path) for path in checkpoints.iterdir() if (match := _NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def newest_sealed(checkpoints: Path) -> tuple[Path, dict[str, Any]] | None:
    """The newest checkpoint whose seal holds, with its facts; all that is half-made or damaged behind it is removed.

    Args:
        checkpoints: The folder that holds ``checkpoint-N`` folders.
    """
    for path in reversed(numbered(checkpoints)):
        facts = _facts_if_whole(path)
        if facts is not None:
            return path, facts
        shutil.rmtree(path)
    return None


def _facts_if_whole(folder: Path) -> dict[str, Any] | None:
    try:
        content = json.loads((folder / SEAL).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    whole = all(
        (folder / name).is_file()
        and (folder / name).stat().st_size == facts["size"]
        and sha256(folder / name) == facts["sha256"]
        for name, facts in content["files"].items()
    )
    return dict(content["facts"]) if whole else None
