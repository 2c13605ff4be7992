"""Create a step's output atomically: complete and sealed, or not at all; a second call returns the same output."""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ftsdk.artifact import Artifact, place
from ftsdk.errors import ArtifactError, InputError


def create_output(
    target: Path, request: dict[str, Any], fill: Callable[[Path], object], *, inputs: Sequence[Path]
) -> Artifact:
    """The output of a step, created now or by an earlier call.

    Args:
        target: Its folder.
        request: What to do with which files: the keys of the output's plan that are known before the step runs.
        fill: Creates and seals the output in an empty folder.
        inputs: The folders that the step reads; the last one is about as large as the output.

    Raises:
        InputError: The target lies in one of the inputs.
        ArtifactError: The output cannot be created, or the target holds something else; the target is not changed.
    """
    target = target.expanduser().resolve()
    for folder in inputs:
        if target != folder and target.is_relative_to(folder):
            raise InputError(f"{target} lies in {folder}, which is only read", hint="give a folder outside it")
    _check_disk_space(target, inputs[-1])

    return place(fill, target, same=lambda present: _identity(present.plan) == _identity(request))


def _identity(plan: Mapping[str, Any]) -> list[Any]:
    """What distinguishes one output from another: the step and the hashes of its inputs.

    Paths and measurements are left out: inputs may have been moved, and a check may differ in its last digits.
    """
    files = [(plan.get(source) or {}).get("files") for source in ("from", "base")]
    return [plan.get("step"), plan.get("kind"), *files]


def _check_disk_space(target: Path, like: Path) -> None:
    """Refuse before the work begins if the disk has less space than a folder of the output's size needs."""
    if target.exists():
        return
    parent = next(folder for folder in target.parents if folder.is_dir())
    needed = sum(entry.stat().st_size for entry in os.scandir(like) if entry.is_file())
    if (free := shutil.disk_usage(parent).free) < needed:
        raise ArtifactError(
            f"{parent} has {free / 1e9:.2g} GB free, and {target.name} needs up to {needed / 1e9:.2g} GB",
            hint="free some space, or name a folder on another disk",
        )
