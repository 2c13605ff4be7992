"""Bring a step's result to its place, once: whole and sealed, or not at all; a second call finds it there."""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ftsdk.artifact import Artifact, place
from ftsdk.errors import ArtifactError, InputError


def make_once(
    target: Path, asked: dict[str, Any], fill: Callable[[Path], object], *, reads: Sequence[Path]
) -> Artifact:
    """The result of a step, made now or by an earlier call.

    Args:
        target: Where it shall be.
        asked: What was asked for: the parts of the result's plan that do not say how it went.
        fill: Makes and seals it in an empty folder.
        reads: The folders that it is made of; the last one is about as large as the result.

    Raises:
        InputError: The target lies in what it is made of.
        ArtifactError: It cannot be made, or the target holds something else; the target is as it was.
    """
    target = target.expanduser().resolve()
    for folder in reads:
        if target != folder and target.is_relative_to(folder):
            raise InputError(f"{target} lies in {folder}, which is only read", hint="give a folder outside it")
    _check_room(target, reads[-1])

    return place(fill, target, same=lambda present: _identity(present.plan) == _identity(asked))


def _identity(plan: Mapping[str, Any]) -> list[Any]:
    """What tells one result from another: what was done to which files, wherever they lie."""
    files = [(plan.get(source) or {}).get("files") for source in ("from", "base")]
    return [plan.get("step"), plan.get("kind"), *files]


def _check_room(target: Path, like: Path) -> None:
    """See beforehand that the disk has room for as much as a folder holds."""
    if target.exists():
        return
    above = next(folder for folder in target.parents if folder.is_dir())
    needed = sum(entry.stat().st_size for entry in os.scandir(like) if entry.is_file())
    if (free := shutil.disk_usage(above).free) < needed:
        raise ArtifactError(
            f"{above} has {free / 1e9:.2g} GB free, and {target.name} needs up to {needed / 1e9:.2g} GB",
            hint="free some space, or name a folder on another disk",
        )
