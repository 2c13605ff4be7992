"""Open regular files, and guess the format of one that is not UTF-8 text."""

import gzip
import io
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ftsdk.data.json_parsing import BadFile
from ftsdk.errors import DataError
from ftsdk.redact import redact

BOM = b"\xef\xbb\xbf"

LONGEST_ROW = 64 * 2**20
"""Bytes of one row; a longer one is a mistake, such as a missing line break, and is not read to its end."""

_MOST_FILES = 5  # of a folder, in an error

_SIGNATURES = (
    (b"\xff\xfe\x00\x00", "UTF-32 text", "save it as UTF-8"),
    (b"\xff\xfe", "UTF-16 text", "save it as UTF-8"),
    (b"\xfe\xff", "UTF-16 text", "save it as UTF-8"),
    (b"\x1f\x8b", "gzip", "end its name in .gz"),
    (b"PK\x03\x04", "a zip archive", "unpack it"),
    (b"BZh", "bzip2", "unpack it"),
    (b"\xfd7zXZ", "xz", "unpack it"),
    (b"\x28\xb5\x2f\xfd", "Zstandard", "unpack it"),
    (b"PAR1", "Parquet", "convert it to JSON Lines"),
    (b"ARROW1", "Arrow", "convert it to JSON Lines"),
)


@contextmanager
def open_file(path: Path) -> Iterator[IO[bytes]]:
    """A regular file to read bytes from, unpacked where its name ends in ``.gz``.

    Raises:
        DataError: It is missing, not a regular file, or may not be read.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise DataError(f"{redact(str(path))} is a folder", hint=f"give a file{_files_in(path)}")
        if not stat.S_ISREG(mode):
            raise DataError(f"{redact(str(path))} is not a regular file", hint="rows are read from files on disk only")
        file = path.open("rb")
    except OSError as error:
        raise DataError(
            f"{redact(str(path.absolute()))} cannot be opened: {error.strerror}",
            hint="check dataset.path, and who may read the file",
        ) from error
    with file:
        packed = path.suffix.lower() == ".gz"
        yield io.BufferedReader(gzip.GzipFile(fileobj=file)) if packed else file  # GzipFile reads lines slowly


def read(method: Callable[[int], bytes], size: int) -> bytes:
    """Call a method that reads bytes.

    Raises:
        BadFile: The disk, or the archive, is damaged.
    """
    try:
        return method(size)
    except EOFError as error:
        raise BadFile("the gzip file ends too early", "copy or download it again") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise BadFile(
            "the file is damaged, or not a gzip file although its name ends in .gz", "pack it again"
        ) from error
    except OSError as error:
        raise BadFile(f"the file cannot be read to its end: {error.strerror}", "check the disk") from error


def check_start(raw: bytes) -> None:
    """Look at the first bytes of a file.

    Raises:
        BadFile: They are not those of UTF-8 text.
    """
    for signature, guess, fix in _SIGNATURES:
        if raw.startswith(signature):
            raise BadFile(f"the file begins like {guess}, not like UTF-8 text", fix)
    if b"\x00" in raw[:1024]:
        guess = "UTF-16 text" if raw[:4].count(0) in (1, 2) else "a binary file"
        raise BadFile(f"byte {raw.index(0)} is zero: this looks like {guess}, not UTF-8", "save it as UTF-8 text")


def not_utf8(byte: int) -> BadFile:
    """The error for a byte, counted from 0, that cannot be part of UTF-8 text."""
    return BadFile(f"byte {byte} is not UTF-8; perhaps the file is Latin-1 or Windows-1252", "save it as UTF-8")


def _files_in(folder: Path) -> str:
    """The files in a folder that could be meant."""
    names = sorted(entry.name for entry in folder.iterdir() if entry.suffix in (".json", ".jsonl", ".gz"))
    return f" in it: {', '.join(names[:_MOST_FILES])}" if names else ""
