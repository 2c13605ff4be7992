"""Stream a large answer to disk, and go on behind the last good byte when the connection is cut."""

import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

from ftsdk.errors import ArtifactError, UnreachableError
from ftsdk.kit.http import Patience, may_pass

if TYPE_CHECKING:
    import httpx

_CHUNK = 1 << 20  # bytes
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")

Open = Callable[[dict[str, str]], AbstractContextManager["httpx.Response"]]
"""Sends the request with some more headers, and gives the answer before its body is read."""


class Part(NamedTuple):
    """What an answer's headers say about its body."""

    start: int
    """Its first byte's place in the whole."""
    total: int | None
    """Bytes of the whole; None where the service does not say."""
    tag: str
    """Names the version of the whole, where the service has such a name."""


def download(open_: Open, path: Path, patience: Patience) -> int:
    """Bring a whole body to a file.

    Progress gives new patience: only attempts in a row that bring nothing count.

    Args:
        open_: Sends the request.
        path: The file; it is replaced.
        patience: How often to go on after a cut.

    Returns:
        The number of bytes, which is the one that the service announced, where it did.

    Raises:
        UnreachableError: The connection was cut too often.
        ArtifactError: The service sends another body than it began with, or of another length.
    """
    known = Part(0, None, "")
    fruitless = 0
    with path.open("wb") as file:
        while True:
            before = file.tell()
            try:
                known = _append(open_, file, known)
            except Exception as error:
                if not may_pass(error):
                    raise
                fruitless = 0 if file.tell() > before else fruitless + 1
                if fruitless >= patience.attempts:
                    raise UnreachableError(
                        f"the download was cut at byte {file.tell()}, and nothing more came", hint="fetch again"
                    ) from error
                time.sleep(min(patience.first_pause * 2**fruitless, patience.longest_pause))
                known = known._replace(start=file.tell())
            else:
                return _complete(file, known)


def _append(open_: Open, file: IO[bytes], known: Part) -> Part:
    """Write one answer behind what is there; each chunk is in the file's count before the next is awaited."""
    at = file.tell()
    headers = {"Accept-Encoding": "identity"}
    if at:
        headers["Range"] = f"bytes={at}-"
        if known.tag:
            headers["If-Range"] = known.tag
    with open_(headers) as answer:
        part = _part(answer)
        if part.start not in (0, at) or (part.start and part.total != known.total and known.total is not None):
            raise ArtifactError("the service went on with another part than was asked for", hint="fetch again")
        if part.start == 0 and at:  # it begins anew: this is no range, or there is a newer version
            file.seek(0)
            file.truncate()
        for chunk in answer.iter_raw(_CHUNK):
            file.write(chunk)
    return part


def _part(answer: "httpx.Response") -> Part:
    length, tag = answer.headers.get("content-length"), answer.headers.get("etag", "")
    tag = "" if tag.startswith("W/") else tag  # a weak tag does not promise the same bytes
    if answer.status_code == 206:
        found = _RANGE.fullmatch(answer.headers.get("content-range", ""))
        if not found:
            raise ArtifactError("the service answers with a part, and does not say which", hint="fetch again")
        return Part(int(found[1]), int(found[2]) if found[2].isdecimal() else None, tag)
    return Part(0, int(length) if length and length.isdecimal() else None, tag)


def _complete(file: IO[bytes], known: Part) -> int:
    size = file.tell()
    if known.total is not None and size != known.total:
        raise ArtifactError(f"{size} bytes came, where {known.total} were announced", hint="fetch again")
    return size
