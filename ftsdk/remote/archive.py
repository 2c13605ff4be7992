"""Unpack an untrusted archive: plain files inside the folder, and nothing else."""

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
"""Weights hardly shrink when they are packed; what grows more than this is a decompression bomb."""
ALWAYS_ALLOWED = 64 * 2**20
"""Bytes that any archive may unpack to."""

_ZSTD = b"\x28\xb5\x2f\xfd"
_GZIP = b"\x1f\x8b"
_ZIP = b"PK\x03\x04"
_ENCRYPTED = 1  # the bit of a zip member's flags
_DAMAGE_ERRORS = (tarfile.TarError, zipfile.BadZipFile, EOFError, ValueError, gzip.BadGzipFile, zlib.error)
_CHUNK = 2048  # packed bytes at a time; they may grow some thirty thousandfold, all of it in memory
_LARGEST_WINDOW = 2**27  # bytes of memory that unpacking may take; what ``zstd --ultra -22`` needs


def unpack(archive: Path, folder: Path) -> None:
    """Unpack ``.zip``, ``.tar.zst``, ``.tar.gz`` or ``.tar``, recognized by their bytes, into an empty folder.

    Where all files lie in one folder inside the archive, that folder is left out.

    Raises:
        ArtifactError: It is damaged, or contains a link, a device, a path that leaves the folder, a name twice, or
            far more than its size suggests.
    """
    limit = max(ALWAYS_ALLOWED, MOST_BYTES_PER_BYTE * archive.stat().st_size)
    try:
        if zipfile.is_zipfile(archive) and _starts_with(archive, _ZIP):
            with zipfile.ZipFile(archive) as zip_file:
                _extract_zip(zip_file, folder, limit)
        else:
            with _open_tar_stream(archive) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
                _extract_tar(tar, folder, limit)
                # tarfile stops at the end of the tar; the packed stream goes on, and its last bytes are the checksum.
                while stream.read(1 << 16):
                    pass
    except Exception as error:
        if isinstance(error, _DAMAGE_ERRORS) or type(error).__name__ == "ZstdError":  # of a library that may be missing
            raise _refusal(f"it is damaged ({type(error).__name__})") from error
        raise
    _flatten(folder)


def _extract_tar(tar: tarfile.TarFile, folder: Path, limit: int) -> None:
    checker = _MemberChecker(limit)
    for member in tar:
        is_plain = member.isreg() and not member.issparse()
        if name := checker.check(member.name, member.size, is_folder=member.isdir(), is_plain=is_plain):
            _write(cast("IO[bytes]", tar.extractfile(member)), folder / name, member.size)


def _extract_zip(zip_file: zipfile.ZipFile, folder: Path, limit: int) -> None:
    checker = _MemberChecker(limit)
    for member in zip_file.infolist():
        kind = stat.S_IFMT(member.external_attr >> 16)  # 0 where the archive was not made on Unix
        is_plain = kind in (0, stat.S_IFREG) and not member.flag_bits & _ENCRYPTED
        if name := checker.check(member.filename, member.file_size, is_folder=member.is_dir(), is_plain=is_plain):
            with zip_file.open(member) as source:
                _write(source, folder / name, member.file_size)


class _MemberChecker:
    """Checks one member of an archive after the other.

    Args:
        limit: Bytes that all files may take together.
    """

    def __init__(self, limit: int) -> None:
        self._remaining = limit
        self._count = 0

    def check(self, name: str, size: int, *, is_folder: bool, is_plain: bool) -> str:
        """The name under which a file is written; empty for a folder.

        Raises:
            ArtifactError: Nothing of the archive can be trusted.
        """
        name = name.removeprefix("./").rstrip("/")
        if is_folder and name in ("", "."):
            return ""
        if not re.fullmatch(SAFE_NAME, name):
            raise _refusal("it contains a name that leaves the folder, or that no artifact may have")
        if is_folder:
            return ""
        if not is_plain:
            raise _refusal(f"{name} is a link or no plain file")
        self._remaining -= size
        self._count += 1
        if self._remaining < 0 or self._count > MOST_FILES:
            raise _refusal("it contains far more than its size suggests")
        return name


def _starts_with(path: Path, magic: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(magic)) == magic


def _write(source: IO[bytes], path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        file = path.open("xb")  # exclusive: of two members with one name, the second could replace a checked file
    except FileExistsError as error:
        raise _refusal(f"it contains {path.name} twice") from error
    with file:
        while chunk := source.read(1 << 20):
            file.write(chunk)
        if file.tell() != size:
            raise EOFError(path.name)


@contextmanager
def _open_tar_stream(archive: Path) -> Iterator[IO[bytes]]:
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
    """Unpacks Zstandard; unlike the library's own reader, it raises an error where the end is missing."""

    # The library's stream_reader returns b"" both at the end of a frame and where a download was cut inside one: half
    # of the weights would pass for all of them. decompressobj knows by ``eof`` whether the frame was complete.

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
            packed = self._frame.unused_data or self._packed.read(_CHUNK)
            if self._frame.eof:  # another frame may follow; parallel compressors write one for each block
                if not packed:
                    return 0
                self._frame = self._unpacker.decompressobj()
            elif not packed:
                raise EOFError("the archive ends too early")
            self._ready = memoryview(self._frame.decompress(packed))
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size


def _flatten(folder: Path) -> None:
    """Move the files up where one folder contains them all."""
    while len(entries := list(folder.iterdir())) == 1 and entries[0].is_dir():
        inner = entries[0].rename(folder / ".inner")
        for entry in inner.iterdir():
            entry.rename(folder / entry.name)
        inner.rmdir()


def _refusal(reason: str) -> ArtifactError:
    hint = "fetch again; if the error stays, report it to the maker of the archive"
    return ArtifactError(f"the archive is refused: {reason}", hint=hint)
