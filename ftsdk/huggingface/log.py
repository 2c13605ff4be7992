"""Read a log at Hugging Face: a stream of server-sent events that ends only when the job ends."""

import email.utils
import itertools
import json
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from ftsdk.errors import RejectedError
from ftsdk.huggingface.connection import Hub
from ftsdk.huggingface.errors import ERROR_MAPPER, endpoint
from ftsdk.remote.retries import retry, status_code
from ftsdk.remote.timestamps import epoch_seconds

_SILENCE = 1.0  # seconds without a line, after which the log of a running job counts as read
_LONGEST = 20.0  # seconds of reading the log of a running job
_PLATFORM = ("===== Job started", "===== Application Startup", "===== Build")  # begin lines of Hugging Face's own
_NO_LOG = (404, 406, 410)

LogLine = tuple[float, str]
"""Its time, in seconds since 1970 (0 where it is unknown), and its text."""


def read_log(hub: Hub, path: str, tail: int | None = None, *, ended: bool) -> list[LogLine]:
    """The lines so far; none where there is no log, or none any more.

    Args:
        hub: The connection.
        path: Of the log, below the Hub's address.
        tail: About how many lines of its end; None: all.
        ended: Whether the log is complete. Then it is read to its end, else only what comes at once.

    Raises:
        UnreachableError: The log cannot be read, or not all of it.
    """
    address = f"{endpoint()}/{path}"
    try:
        with ERROR_MAPPER.translate_errors("send the log"):
            # The stream has no position to resume from: after a lost connection it is read again from its beginning,
            # all of it before the first line is used, so that no line comes twice.
            return retry(lambda: list(_stream_lines(hub, address, tail, ended=ended)), hub.timing.retry_policy)
    except RejectedError as error:
        if status_code(error.__cause__ or error) in _NO_LOG:
            return []
        raise


def lines_of(text: str) -> Iterator[str]:
    """The lines that are not blank and not Hugging Face's own."""
    # A progress bar returns to the beginning of its line by \r. str.splitlines would split at U+2028 and others, too,
    # which may be a part of what a model has written.
    return (line for line in re.split(r"[\r\n]+", text) if line.strip() and not line.startswith(_PLATFORM))


def _stream_lines(hub: Hub, address: str, tail: int | None, *, ended: bool) -> Iterator[LogLine]:
    import httpx2  # noqa: PLC0415 - it comes with the client
    from huggingface_hub import get_session  # noqa: PLC0415 - slow to import

    # The client's own fetch_job_logs waits five seconds for a next line of a running job. A read timeout of a second
    # shows as well that all lines so far have come.
    limits = httpx2.Timeout(hub.timing.call, connect=hub.timing.connect, read=hub.timing.call if ended else _SILENCE)
    headers = {"Authorization": f"Bearer {hub.api.token}"}
    query = {"tail": tail} if tail else None
    lines, end = itertools.count(1), time.monotonic() + _LONGEST
    try:
        with get_session().stream("GET", address, timeout=limits, headers=headers, params=query) as response:
            response.raise_for_status()
            present = _seconds(response.headers.get("date"))
            for entry in _entries(response.iter_bytes()):
                yield from _entry_lines(entry)
                # A job that prints all the time is never silent: what it printed after the request is for the next one.
                if not ended and (epoch_seconds(entry.get("timestamp")) > present or time.monotonic() > end):
                    return
                if not ended and tail and next(lines) >= tail:
                    return
    except httpx2.ReadTimeout:
        if ended:
            raise  # a complete log does not pause: lines are missing


def _entries(chunks: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """The events of a stream."""
    # Split by hand: the client's iter_lines splits at U+2028 and U+0085, too, which JSON allows inside of strings.
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.startswith(b"data: {"):
                with suppress(ValueError):  # no JSON: no line of the job's
                    yield json.loads(line.removeprefix(b"data: "))


def _seconds(date: str | None) -> float:
    """When a response began, by the service's clock; without a date, infinity."""
    parsed = email.utils.parsedate_tz(date) if date else None
    # The header has whole seconds; rounded up, no line that was there is taken for a later one.
    return email.utils.mktime_tz(parsed) + 1.0 if parsed else float("inf")


def _entry_lines(entry: dict[str, Any]) -> Iterator[LogLine]:
    seconds = epoch_seconds(entry.get("timestamp"))
    return ((seconds, line) for line in lines_of(str(entry.get("data") or "")))
