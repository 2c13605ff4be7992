"""Put an artifact into a folder atomically: complete and verified, or not at all."""

import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ftsdk.artifact.artifact import Artifact
from ftsdk.artifact.manifest import MANIFEST, Manifest, read_manifest
from ftsdk.errors import ArtifactError
from ftsdk.files import sync_folder

_HINTS = {
    errno.ENOSPC: "free some disk space and try again; nothing incomplete was left behind",
    errno.EDQUOT: "your disk quota is used up: free some space and try again",
    errno.EACCES: "choose a folder that you may write to",
    errno.EROFS: "choose a folder on a disk that can be written to",
    errno.EBUSY: "choose a folder that is no mount point and that no program works in",
}


def place(
    source: Path | Callable[[Path], object], target: Path, *, same: Callable[[Manifest], bool] | None = None
) -> Artifact:
    """Create or copy an artifact in a hidden folder beside ``target``, verify and sync it, and rename it to ``target``.

    Of several calls with one target, in any process, one works and the others wait. The next call removes what a killed
    one left behind.

    Args:
        source: A sealed folder to copy, or a function that fills an empty folder and seals it.
        target: The artifact's folder: missing, empty, or holding this same artifact already.
        same: Decides by the manifest of an artifact at ``target`` whether it is the one to create; if so,
            ``source`` is not used. Without ``same``, ``source`` runs again, and the files are compared.

    Raises:
        ArtifactError: The source is damaged or unsafe, ``target`` holds something else, or the disk refuses; ``target``
            is unchanged.
    """
    target = target.expanduser().resolve()
    _check_free(target)
    try:
        with _staging_folder(target) as staging:
            present = Artifact.open(target) if (target / MANIFEST).is_file() else None
            if present is not None and isinstance(source, Path):
                return _same(present, read_manifest(source))
            if present is not None and same is not None:
                return _same(present, present.manifest if same(present.manifest) else None)
            _fill(source, staging)
            artifact = Artifact.open(staging)
            if present is not None:
                return _same(present, artifact.manifest)
            # Contents before the name: after a power cut, the target is missing or complete, never empty files. The
            # rename itself is durable only once the parent folder is synced.
            _sync(staging)
            staging.rename(target)
            sync_folder(target.parent)
            return artifact.model_copy(update={"path": target})
    except OSError as error:
        raise ArtifactError(
            f"the artifact cannot be put into {target}: {error.strerror or error}",
            hint=_HINTS.get(error.errno or 0, "try again, or with another folder"),
        ) from error


def _check_free(target: Path) -> None:
    """Refuse a target that holds something else, or that a folder cannot be renamed to."""
    if Path.cwd().is_relative_to(target):
        raise ArtifactError(f"{target} is the folder you work in", hint="give a folder inside it, such as ./out")
    if target.is_file():
        raise ArtifactError(f"{target} is a file", hint="give a folder")
    if target.exists() and not (target / MANIFEST).is_file() and (not target.is_dir() or any(target.iterdir())):
        raise ArtifactError(f"{target} is not empty, and holds no artifact", hint="give another folder, or empty it")


def _same(present: Artifact, expected: Manifest | None) -> Artifact:
    if expected is None or present.manifest.files != expected.files:
        raise ArtifactError(f"{present.path} holds another artifact", hint="give another folder, or empty it")
    return present


def _fill(source: Path | Callable[[Path], object], folder: Path) -> None:
    if callable(source):
        source(folder)
        return
    for name in [*read_manifest(source).files, MANIFEST]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        # A link is copied as a link, which the check of the copy refuses: what it leads to is never read.
        shutil.copyfile(source / name, folder / name, follow_symlinks=False)


@contextmanager
def _staging_folder(target: Path) -> Iterator[Path]:
    """An empty folder beside the target, on the same disk, which no other call uses at the same time."""
    parent = target.with_name(f".{target.name}.partial")
    lock = _acquire_lock(parent)
    try:
        staging = parent / "artifact"
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        # The lock file is removed while the lock is held: a process that waits for it then sees that it has no name.
        (parent / "lock").unlink()
        with suppress(OSError):  # not empty: the next call has made its own lock file in it already
            parent.rmdir()
        os.close(lock)


def _acquire_lock(folder: Path) -> int:
    """Wait for the lock in a folder, which is created if necessary; returns the lock's file descriptor.

    The kernel releases the lock when the process dies, however it dies.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with suppress(FileExistsError):  # exist_ok would check once more, and fail if the folder is gone by then
            folder.mkdir()
        with suppress(FileNotFoundError):  # an earlier owner has removed the folder just now
            lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
            # The earlier owner may have removed the file while this call waited. Its lock would exclude nobody then:
            # others open a new file of the same name. So a lock counts only while the file has a name.
            if os.fstat(lock).st_nlink:
                return lock
            os.close(lock)


def _sync(folder: Path) -> None:
    """Make every file and every name below a folder durable."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        else:
            sync_folder(path)
    sync_folder(folder)
