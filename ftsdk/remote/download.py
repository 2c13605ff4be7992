"""Stream a large answer to disk, and go on behind the last good byte when the connection is cut."""

import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

from ftsdk.errors import ArtifactError, UnreachableError
from ftsdk.remote.retries import RetryPolicy, is_transient

if TYPE_CHECKING:
    import httpx

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


def download(open_: Open, path: Path, patience: RetryPolicy) -> int:
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
    with path.open("wb") as file:
        body, fruitless = _Body(file), 0
        while True:
            before = file.tell()
            try:
                body.go_on(open_)
            except Exception as error:
                if not is_transient(error):
                    raise
                fruitless = 0 if file.tell() > before else fruitless + 1
                if fruitless >= patience.attempts:
                    raise UnreachableError(
                        f"the download was cut at byte {file.tell()}, and nothing more came", hint="fetch again"
                    ) from error
                time.sleep(min(patience.first_pause * 2**fruitless, patience.longest_pause))
            else:
                return body.complete()


class _Body:
    """What has come so far, and what is known of the whole."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._known = Part(0, None, "")

    def go_on(self, open_: Open) -> None:
        """Write one answer behind what is there, each piece as it comes: a larger one would be lost in a cut."""
        at, known = self._file.tell(), self._known
        headers = {"Accept-Encoding": "identity"}
        if at:
            headers["Range"] = f"bytes={at}-"
        if at and known.tag:
            headers["If-Range"] = known.tag
        with open_(headers) as answer:
            part = _part(answer)
            if part.start not in (0, at) or (part.start and known.total not in (None, part.total)):
                raise ArtifactError("the service went on with another part than was asked for", hint="fetch again")
            if part.start != at:  # it begins anew: it knows no parts, or has a newer version
                self._file.seek(0)
                self._file.truncate()
            self._known = part
            for piece in answer.iter_raw():
                self._file.write(piece)

    def complete(self) -> int:
        """The number of bytes, if it is the one announced."""
        size, total = self._file.tell(), self._known.total
        if total not in (None, size):
            raise ArtifactError(f"{size} bytes came, where {total} were announced", hint="fetch again")
        return size


def _part(answer: "httpx.Response") -> Part:
    length, tag = answer.headers.get("content-length"), answer.headers.get("etag", "")
    tag = "" if tag.startswith("W/") else tag  # a weak tag does not promise the same bytes
    if answer.status_code == 206:
        found = _RANGE.fullmatch(answer.headers.get("content-range", ""))
        if not found:
            raise ArtifactError("the service answers with a part, and does not say which", hint="fetch again")
        return Part(int(found[1]), int(found[2]) if found[2].isdecimal() else None, tag)
    return Part(0, int(length) if length and length.isdecimal() else None, tag)
