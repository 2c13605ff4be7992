"""Unpack an archive from a stranger: plain files inside the folder, and nothing else."""

import gzip
import io
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from ftsdk.artifact.manifest import SAFE_NAME
from ftsdk.errors import ArtifactError

MOST_FILES = 10_000
MOST_BYTES_PER_BYTE = 20
"""Weights hardly shrink when they are packed; what swells more than this is a bomb."""
ALWAYS_ALLOWED = 64 * 2**20
"""Bytes that any archive may unpack to."""

_ZSTD = b"\x28\xb5\x2f\xfd"
_GZIP = b"\x1f\x8b"
_ZIP = b"PK\x03\x04"
_ENCRYPTED = 1  # the bit of a zip member's flags
_DAMAGES = (tarfile.TarError, zipfile.BadZipFile, EOFError, ValueError, gzip.BadGzipFile, zlib.error)
_SIP = 2048  # packed bytes at a time; they may swell some thirty thousandfold
_LARGEST_WINDOW = 2**27  # bytes of memory that unpacking may take; what ``zstd --ultra -22`` needs


def unpack(archive: Path, folder: Path) -> None:
    """Unpack ``.zip``, ``.tar.zst``, ``.tar.gz`` or ``.tar``, told apart by their bytes, into an empty folder.

    Where all files lie in one folder inside the archive, that folder is left out.

    Raises:
        ArtifactError: It is damaged, or holds a link, a device, a path that leaves the folder, a name twice, or
            far more than its size suggests.
    """
    room = max(ALWAYS_ALLOWED, MOST_BYTES_PER_BYTE * archive.stat().st_size)
    try:
        if zipfile.is_zipfile(archive) and _starts_with(archive, _ZIP):
            with zipfile.ZipFile(archive) as found:
                _extract_zip(found, folder, room)
        else:
            with _opened(archive) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
                _extract(tar, folder, room)
                while stream.read(1 << 16):  # the end of the packed stream carries its checksum
                    pass
    except Exception as error:
        if isinstance(error, _DAMAGES) or type(error).__name__ == "ZstdError":  # of a library that may be missing
            raise _refused(f"it is damaged ({type(error).__name__})") from error
        raise
    _lift(folder)


def _extract(tar: tarfile.TarFile, folder: Path, room: int) -> None:
    gate = _Gate(room)
    for member in tar:
        plain = member.isreg() and not member.issparse()
        if name := gate.admit(member.name, member.size, is_folder=member.isdir(), is_plain=plain):
            _write(cast("IO[bytes]", tar.extractfile(member)), folder / name, member.size)


def _extract_zip(found: zipfile.ZipFile, folder: Path, room: int) -> None:
    gate = _Gate(room)
    for member in found.infolist():
        kind = stat.S_IFMT(member.external_attr >> 16)  # 0 where the archive was not made on Unix
        plain = kind in (0, stat.S_IFREG) and not member.flag_bits & _ENCRYPTED
        if name := gate.admit(member.filename, member.file_size, is_folder=member.is_dir(), is_plain=plain):
            with found.open(member) as source:
                _write(source, folder / name, member.file_size)


class _Gate:
    """Lets one file after the other in, until something is wrong.

    Args:
        room: Bytes that all files may take together.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._count = 0

    def admit(self, name: str, size: int, *, is_folder: bool, is_plain: bool) -> str:
        """The name under which a file is written; empty for a folder.

        Raises:
            ArtifactError: Nothing of the archive can be trusted.
        """
        name = name.removeprefix("./").rstrip("/")
        if is_folder and name in ("", "."):
            return ""
        if not re.fullmatch(SAFE_NAME, name):
            raise _refused("it holds a name that leaves the folder, or that no artifact may hold")
        if is_folder:
            return ""
        if not is_plain:
            raise _refused(f"{name} is a link or no plain file")
        self._room -= size
        self._count += 1
        if self._room < 0 or self._count > MOST_FILES:
            raise _refused("it holds far more than its size suggests")
        return name


def _starts_with(path: Path, magic: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(magic)) == magic


def _write(source: IO[bytes], path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        file = path.open("xb")
    except FileExistsError as error:
        raise _refused(f"{path.name} stands in it twice") from error
    with file:
        while chunk := source.read(1 << 20):
            file.write(chunk)
        if file.tell() != size:
            raise EOFError(path.name)


@contextmanager
def _opened(archive: Path) -> Iterator[IO[bytes]]:
    """The tar stream inside, unpacked as it is read."""
    with archive.open("rb") as file:
        start = file.read(4)
        file.seek(0)
        if start == _ZSTD:
            yield cast("IO[bytes]", io.BufferedReader(_Zstandard(file)))
        elif start.startswith(_GZIP):
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield cast("IO[bytes]", unpacked)
        else:
            yield file


class _Zstandard(io.RawIOBase):
    """Unpacks Zstandard; unlike the library's own reader, it tells when the end is missing."""

    def __init__(self, packed: IO[bytes]) -> None:
        import zstandard  # noqa: PLC0415 - comes with the backends that need it

        self._unpacker = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW)
        self._frame = self._unpacker.decompressobj()
        self._packed = packed
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        """It is for reading."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a part of the buffer; 0 at the end."""
        while not self._ready:
            packed = self._frame.unused_data or self._packed.read(_SIP)
            if self._frame.eof:
                if not packed:
                    return 0
                self._frame = self._unpacker.decompressobj()
            elif not packed:
                raise EOFError("the archive ends too early")
            self._ready = memoryview(self._frame.decompress(packed))
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size


def _lift(folder: Path) -> None:
    """Take the files out of the one folder that holds them all."""
    while len(entries := list(folder.iterdir())) == 1 and entries[0].is_dir():
        inner = entries[0].rename(folder / ".inner")
        for entry in inner.iterdir():
            entry.rename(folder / entry.name)
        inner.rmdir()


def _refused(why: str) -> ArtifactError:
    return ArtifactError(f"the archive is refused: {why}", hint="fetch again; if it stays so, tell its maker")
