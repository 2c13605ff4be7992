"""The folder that an artifact is fetched into: nothing in it is ever lost."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ftsdk.artifact import MANIFEST
from ftsdk.errors import ArtifactError


@contextmanager
def prepared(folder: Path, *, force: bool) -> Iterator[Path]:
    """The folder, ready to fetch into: missing, empty, or holding an artifact, which the backend compares.

    Args:
        folder: The folder for the artifact.
        force: Rename a folder that is in the way, to ``NAME.before-TIME``; it comes back when the block fails.

    Raises:
        ArtifactError: Something is in the way, and ``force`` is not set.
    """
    folder = folder.expanduser().absolute()
    if not _is_in_the_way(folder, force=force):
        yield folder
        return
    if not force:
        raise ArtifactError(
            f"{folder} exists and is not empty", hint="give another folder, or force=True (--force) to rename this one"
        )
    # The time in nanoseconds keeps apart two fetches in one second.
    backup = folder.with_name(f"{folder.name}.before-{time.strftime('%Y%m%d-%H%M%S')}-{time.time_ns() % 10**6}")
    folder.rename(backup)
    try:
        yield folder
    except BaseException:
        backup.rename(folder)
        raise


def _is_in_the_way(folder: Path, *, force: bool) -> bool:
    if not folder.is_dir():
        return folder.exists()
    return any(folder.iterdir()) and (force or not (folder / MANIFEST).is_file())
