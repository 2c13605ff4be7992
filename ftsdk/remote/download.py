"""Stream a large answer to disk, and continue behind the last good byte when the connection is cut."""

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

OpenStream = Callable[[dict[str, str]], AbstractContextManager["httpx.Response"]]
"""Sends the request with additional headers, and returns the answer before its body is read."""


class ByteRange(NamedTuple):
    """Which part of a file an answer's body is, by its headers."""

    start: int
    """Position of its first byte in the file."""
    total: int | None
    """Bytes of the file; None where the service does not say."""
    tag: str
    """Names the version of the file, where the service has such a name."""


def download(open_stream: OpenStream, path: Path, policy: RetryPolicy) -> int:
    """Download a complete file.

    Args:
        open_stream: Sends the request.
        path: The file; it is replaced.
        policy: How often to continue after a cut; only attempts in a row that receive nothing count.

    Returns:
        The number of bytes, which is the one that the service announced, where it did.

    Raises:
        UnreachableError: The connection was cut too often.
        ArtifactError: The service sends another file than it began with, or of another length.
    """
    with path.open("wb") as file:
        partial, empty_attempts = _PartialFile(file), 0
        while True:
            before = file.tell()
            try:
                partial.continue_(open_stream)
            except Exception as error:
                if not is_transient(error):
                    raise
                # A large file over a poor line needs more attempts than any policy allows, and makes progress in each.
                empty_attempts = 0 if file.tell() > before else empty_attempts + 1
                if empty_attempts >= policy.attempts:
                    raise UnreachableError(
                        f"the download was cut at byte {file.tell()}, and nothing more came", hint="fetch again"
                    ) from error
                time.sleep(min(policy.first_pause * 2**empty_attempts, policy.longest_pause))
            else:
                return partial.check_complete()


class _PartialFile:
    """The bytes so far, and what the headers of the last answer are."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._range = ByteRange(0, None, "")

    def continue_(self, open_stream: OpenStream) -> None:
        """Append one answer."""
        size, previous = self._file.tell(), self._range
        # A compressed body could not be continued: its ranges would count packed bytes, and the file has others.
        headers = {"Accept-Encoding": "identity"}
        if size:
            headers["Range"] = f"bytes={size}-"
        if size and previous.tag:
            headers["If-Range"] = previous.tag  # a newer version comes from its start, and is not glued to the old one
        with open_stream(headers) as answer:
            range_ = _byte_range(answer)
            if range_.start not in (0, size) or (range_.start and previous.total not in (None, range_.total)):
                raise ArtifactError("the service continued with another part than was requested", hint="fetch again")
            if range_.start != size:  # it starts over: it supports no ranges, or has a newer version
                self._file.seek(0)
                self._file.truncate()
            self._range = range_
            # Chunks as they come, not of a fixed size: what waits for a chunk to be full is lost in a cut.
            for chunk in answer.iter_raw():
                self._file.write(chunk)

    def check_complete(self) -> int:
        """The number of bytes, if it is the one announced."""
        size, total = self._file.tell(), self._range.total
        if total not in (None, size):
            raise ArtifactError(f"{size} bytes came, where {total} were announced", hint="fetch again")
        return size


def _byte_range(answer: "httpx.Response") -> ByteRange:
    length, tag = answer.headers.get("content-length"), answer.headers.get("etag", "")
    tag = "" if tag.startswith("W/") else tag  # a weak tag does not promise the same bytes
    if answer.status_code == 206:
        match = _RANGE.fullmatch(answer.headers.get("content-range", ""))
        if not match:
            raise ArtifactError("the service answers with a part, and does not say which", hint="fetch again")
        return ByteRange(int(match[1]), int(match[2]) if match[2].isdecimal() else None, tag)
    return ByteRange(0, int(length) if length and length.isdecimal() else None, tag)
