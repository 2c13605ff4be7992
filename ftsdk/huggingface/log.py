"""Read a log at Hugging Face: a stream of server-sent events that ends only with what writes it."""

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

_SILENCE = 1.0  # seconds without a line, after which a log that still grows has said what it has
_LONGEST = 20.0  # seconds of reading a log
_PLATFORM = ("===== Job started", "===== Application Startup", "===== Build")  # begin lines of Hugging Face's own
_GONE = (404, 406, 410)

Line = tuple[float, str]
"""Its time, in seconds since 1970 (0 where it is not told), and its text."""


def read_log(hub: Hub, path: str, tail: int | None = None, *, ended: bool) -> list[Line]:
    """The lines so far; none where there is no log, or none any more.

    Args:
        hub: The connection.
        path: Of the log, below the Hub's address.
        tail: About how many lines of its end; None: all.
        ended: Whether nothing more will be written. Then it is read to its end, else as far as it comes at once.

    Raises:
        UnreachableError: It cannot be had, or not whole.
    """
    address = f"{endpoint()}/{path}"
    try:
        with ERROR_MAPPER.translate_errors("send the log"):
            return retry(lambda: list(_streamed(hub, address, tail, ended=ended)), hub.timing.retry_policy)
    except RejectedError as error:
        if status_code(error.__cause__ or error) in _GONE:
            return []
        raise


def lines_of(text: str) -> Iterator[str]:
    """The lines worth anything; a progress bar comes back to the beginning of its line."""
    return (line for line in re.split(r"[\r\n]+", text) if line.strip() and not line.startswith(_PLATFORM))


def _streamed(hub: Hub, address: str, tail: int | None, *, ended: bool) -> Iterator[Line]:
    import httpx2  # noqa: PLC0415 - it comes with the client
    from huggingface_hub import get_session  # noqa: PLC0415 - slow to import

    limits = httpx2.Timeout(hub.timing.call, connect=hub.timing.connect, read=hub.timing.call if ended else _SILENCE)
    key = {"Authorization": f"Bearer {hub.api.token}"}
    query = {"tail": tail} if tail else None
    lines, end = itertools.count(1), time.monotonic() + _LONGEST
    try:
        with get_session().stream("GET", address, timeout=limits, headers=key, params=query) as answer:
            answer.raise_for_status()
            present = _moment(answer.headers.get("date"))
            for entry in _entries(answer.iter_bytes()):
                yield from _logged(entry)
                if not ended and (epoch_seconds(entry.get("timestamp")) > present or time.monotonic() > end):
                    return  # from here on, lines come as they are written
                if not ended and tail and next(lines) >= tail:
                    return
    except httpx2.ReadTimeout:
        if ended:
            raise  # silence where there is more to come


def _entries(pieces: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """The events of a stream. They end with a line feed, and with nothing else that may be taken for the end of one."""
    kept = b""
    for piece in pieces:
        *whole, kept = (kept + piece).split(b"\n")
        for line in whole:
            if line.startswith(b"data: {"):
                with suppress(ValueError):  # no JSON: nothing that could be told
                    yield json.loads(line.removeprefix(b"data: "))


def _moment(date: str | None) -> float:
    """When an answer began, by the service's clock: it tells whole seconds. Without a date, nobody knows."""
    found = email.utils.parsedate_tz(date) if date else None
    return email.utils.mktime_tz(found) + 1.0 if found else float("inf")


def _logged(entry: dict[str, Any]) -> Iterator[Line]:
    moment = epoch_seconds(entry.get("timestamp"))
    return ((moment, line) for line in lines_of(str(entry.get("data") or "")))
