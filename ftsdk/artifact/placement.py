"""Put an artifact in its place: whole and verified, or not at all."""

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
    errno.ENOSPC: "free some disk space and try again; nothing half-made was left behind",
    errno.EDQUOT: "your disk quota is used up: free some space and try again",
    errno.EACCES: "choose a folder that you may write to",
    errno.EROFS: "choose a folder on a disk that can be written to",
    errno.EBUSY: "choose a folder that is no mount point and that no program works in",
}


def place(
    source: Path | Callable[[Path], object], target: Path, *, same: Callable[[Manifest], bool] | None = None
) -> Artifact:
    """Bring an artifact to ``target``: made or copied beside it, verified, made durable, renamed into place.

    Of several calls with one target, in any process, one works and the others wait. What a killed call leaves behind
    is removed by the next.

    Args:
        source: A sealed folder to copy, or a function that fills the empty folder it is given and seals it.
        target: Where the artifact shall be: missing, empty, or holding this same artifact already.
        same: Tells by its manifest whether what is there is what shall be made, so that it is not made again; without
            it, ``source`` makes it again, and the files are compared.

    Raises:
        ArtifactError: What came is damaged or unsafe, ``target`` holds something else, or the disk refuses;
            ``target`` is as it was.
    """
    target = target.expanduser().resolve()
    _check_free(target)
    try:
        with _alone(target) as aside:
            present = Artifact.open(target) if (target / MANIFEST).is_file() else None
            if present is not None and isinstance(source, Path):
                return _same(present, read_manifest(source))
            if present is not None and same is not None:
                return _same(present, present.manifest if same(present.manifest) else None)
            _fill(source, aside)
            made = Artifact.open(aside)
            if present is not None:
                return _same(present, made.manifest)
            _sync(aside)
            aside.rename(target)
            sync_folder(target.parent)
            return made.model_copy(update={"path": target})
    except OSError as error:
        raise ArtifactError(
            f"the artifact cannot be put into {target}: {error.strerror or error}",
            hint=_HINTS.get(error.errno or 0, "try again, or with another folder"),
        ) from error


def _check_free(target: Path) -> None:
    """Refuse a place that holds something else, or that cannot be changed for another folder."""
    if Path.cwd().is_relative_to(target):
        raise ArtifactError(f"{target} is the folder you work in", hint="give a folder inside it, such as ./out")
    if target.is_file():
        raise ArtifactError(f"{target} is a file", hint="give a folder")
    if target.exists() and not (target / MANIFEST).is_file() and (not target.is_dir() or any(target.iterdir())):
        raise ArtifactError(f"{target} is not empty, and holds no artifact", hint="give another folder, or empty it")


def _same(present: Artifact, made: Manifest | None) -> Artifact:
    if made is None or present.manifest.files != made.files:
        raise ArtifactError(f"{present.path} holds another artifact", hint="give another folder, or empty it")
    return present


def _fill(source: Path | Callable[[Path], object], folder: Path) -> None:
    if callable(source):
        source(folder)
        return
    for name in [*read_manifest(source).files, MANIFEST]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, folder / name, follow_symlinks=False)


@contextmanager
def _alone(target: Path) -> Iterator[Path]:
    """An empty folder beside the target, held by this call alone; the system lets go of it when a process dies."""
    room = target.with_name(f".{target.name}.partial")
    lock = _locked(room)
    try:
        aside = room / "artifact"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        (room / "lock").unlink()
        with suppress(OSError):  # the next call has come in already, and needs the room
            room.rmdir()
        os.close(lock)


def _locked(room: Path) -> int:
    """Wait for the room's lock; an earlier holder may take the room away meanwhile, so look again."""
    room.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with suppress(FileExistsError):  # not exist_ok: it looks again whether a folder is there, and one may be gone
            room.mkdir()
        with suppress(FileNotFoundError):
            lock = os.open(room / "lock", os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
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
