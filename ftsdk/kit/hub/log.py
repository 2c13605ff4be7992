"""Read a log at Hugging Face: a stream of server-sent events that ends only with what writes it."""

import email.utils
import itertools
import json
import re
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from ftsdk.errors import RejectedError
from ftsdk.kit.http import patiently, status_code
from ftsdk.kit.hub.connection import Hub
from ftsdk.kit.hub.door import DOOR, endpoint

_SILENCE = 1.0  # seconds without a line, after which a log that still grows has said what it has
_LONGEST = 20.0  # seconds of reading a log
_PLATFORM = "====="  # begins lines of Hugging Face's own
_GONE = (404, 406, 410)

Line = tuple[float, str]
"""Its time, in seconds since 1970 (0 where it is not told), and its text."""


def read_log(hub: Hub, path: str, tail: int | None = None) -> list[Line]:
    """The lines so far, without waiting for more; none where there is no log, or none any more.

    Args:
        hub: The connection.
        path: Of the log, below the Hub's address.
        tail: About how many lines of its end; None: all.
    """
    try:
        with DOOR.through("send the log"):
            return patiently(lambda: list(_streamed(hub, f"{endpoint()}/{path}", tail)), hub.timing.patience)
    except RejectedError as error:
        if status_code(error.__cause__ or error) in _GONE:
            return []
        raise


def lines_of(text: str) -> Iterator[str]:
    """The lines worth anything; a progress bar comes back to the beginning of its line."""
    return (line for line in re.split(r"[\r\n]+", text) if line.strip() and not line.startswith(_PLATFORM))


def _streamed(hub: Hub, address: str, tail: int | None) -> Iterator[Line]:
    import httpx2  # noqa: PLC0415 - it comes with the client
    from huggingface_hub import get_session  # noqa: PLC0415 - slow to import

    limits = httpx2.Timeout(hub.timing.call, connect=hub.timing.connect, read=_SILENCE)
    end = time.monotonic() + _LONGEST
    key = {"Authorization": f"Bearer {hub.api.token}"}
    query = {"tail": tail} if tail else None
    with get_session().stream("GET", address, timeout=limits, headers=key, params=query) as answer:
        answer.raise_for_status()
        lines, present = itertools.count(1), _moment(answer.headers.get("date"))
        try:
            for line in answer.iter_lines():
                if line.startswith("data: {"):
                    entry = json.loads(line.removeprefix("data: "))
                    yield from _logged(entry)
                    if _time_of(entry) > present or (tail and next(lines) >= tail):
                        return  # from here on, lines come as they are written
                if time.monotonic() > end:
                    return
        except (httpx2.ReadTimeout, httpx2.RemoteProtocolError):  # silence, or the end without a farewell
            return


def _moment(date: str | None) -> float:
    """When an answer began, by the service's clock: it tells whole seconds. Without a date, nobody knows."""
    found = email.utils.parsedate_tz(date) if date else None
    return email.utils.mktime_tz(found) + 1.0 if found else float("inf")


def _logged(entry: dict[str, Any]) -> Iterator[Line]:
    moment = _time_of(entry)
    return ((moment, line) for line in lines_of(str(entry.get("data") or "")))


def _time_of(entry: dict[str, Any]) -> float:
    try:
        return datetime.fromisoformat(str(entry.get("timestamp"))).timestamp()
    except ValueError:
        return 0.0
