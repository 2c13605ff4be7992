"""Bring a step's result to its place, once: whole and sealed, or not at all; a second call finds it there."""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ftsdk.artifact import Artifact, Manifest, place
from ftsdk.errors import ArtifactError, InputError

IDENTITY = ("step", "from", "base", "kind")
"""Parts of a result's plan that say what was asked for; the others say how it went."""


def make_once(
    target: Path, asked: dict[str, Any], fill: Callable[[Path], object], *, reads: Sequence[Path]
) -> Artifact:
    """The result of a step, made now or by an earlier call.

    Args:
        target: Where it shall be.
        asked: What was asked for: a plan's parts in :data:`IDENTITY`.
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

    def same(present: Manifest) -> bool:
        return {name: present.plan.get(name) for name in IDENTITY} == {name: asked.get(name) for name in IDENTITY}

    return place(fill, target, same=same)


def _check_room(target: Path, like: Path) -> None:
    """See beforehand that the disk has room for as much as a folder holds."""
    if target.exists():
        return
    above = next(folder for folder in target.parents if folder.is_dir())
    needed = sum(entry.stat().st_size for entry in os.scandir(like) if entry.is_file())
    if (free := shutil.disk_usage(above).free) < needed:
        raise ArtifactError(
            f"{above} has {free / 2**30:.1f} GiB free, and {target.name} needs up to {needed / 2**30:.1f} GiB",
            hint="free some space, or name a folder on another disk",
        )
