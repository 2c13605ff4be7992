"""Ask a remote service again, a bounded number of times, when its answer says that this may help.

Only for calls that are safe to repeat; a call that creates something that costs money is not one of them.
"""

import email.utils
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, TypeVar

import tenacity

Answer = TypeVar("Answer")

_MAY_PASS = frozenset({408, 425, 429})
"""Refusals that are about the moment: too slow, too early, too many."""

_SPENT = re.compile(r"\br=0\s*;\s*t=(\d+)")
"""In the header ``ratelimit``: no request remains, for so many seconds."""

_CLIENTS = frozenset({"httpx", "httpx2"})
_LOST = frozenset({"TransportError"})
_NEVER_LEFT = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout"})
"""Errors of these clients: the connection was lost, or there was none."""


class RetryPolicy(NamedTuple):
    """How long to go on asking; all times in seconds."""

    attempts: int = 5
    """Calls in all."""
    first_pause: float = 0.5
    """Longest pause behind the first call; the later ones grow twofold, with a random part."""
    longest_pause: float = 60.0
    """A service that asks for a longer one (Retry-After) is not waited for."""
    total: float = 90.0
    """No further call begins after this time."""


class Timeouts(NamedTuple):
    """How long things may take, in seconds."""

    call: float = 30.0
    """One step of one call: until something is sent or comes in."""
    connect: float = 10.0
    patience: RetryPolicy = RetryPolicy()
    """With calls that are safe to repeat."""
    look: float = 1.0
    """Between two looks at something that is awaited; they become rarer, up to ten times this."""


def poll(look: Callable[[], Answer], pause: float, seconds: float) -> Iterator[Answer]:
    """What is seen again and again until the time is up; once at least, and rarer as time goes on."""
    end, longest = time.monotonic() + seconds, 10 * pause
    while True:
        yield look()
        left = end - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(pause, left))
        pause = min(1.5 * pause, longest)


def retry(
    call: Callable[[], Answer], patience: RetryPolicy, *, helps: Callable[[BaseException], bool] | None = None
) -> Answer:
    """Call, and call again after errors that may pass; the last error is raised as it is.

    Args:
        call: Safe to repeat.
        patience: How often and how long.
        helps: Whether another call may help after an error. None: after 408, 425, 429, 5xx and lost connections.
    """
    again = helps or is_transient

    def worth_it(error: BaseException) -> bool:
        return again(error) and (retry_after(error) or 0.0) <= patience.longest_pause

    grow = tenacity.wait_random_exponential(multiplier=patience.first_pause, max=patience.longest_pause)

    def pause(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        return max(grow(state), (retry_after(error) if error else None) or 0.0)

    return tenacity.Retrying(
        stop=tenacity.stop_after_attempt(patience.attempts) | tenacity.stop_after_delay(patience.total),
        wait=pause,
        retry=tenacity.retry_if_exception(worth_it),
        reraise=True,
    )(call)


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed later: the service was busy or broken, or the connection was."""
    code = status_code(error)
    if code is not None:
        return code in _MAY_PASS or code >= 500
    lost = (ConnectionError, TimeoutError)  # of clients that are not written in Python
    return any(_is_one_of(cause, _LOST) or isinstance(cause, lost) for cause in causes(error))


def never_sent(error: BaseException) -> bool:
    """Whether it is certain that the request never left: no connection was made."""
    return status_code(error) is None and any(_is_one_of(cause, _NEVER_LEFT) for cause in causes(error))


def status_code(error: BaseException) -> int | None:
    """The HTTP status that an error of an httpx-based client carries."""
    code = getattr(getattr(error, "response", None), "status_code", None)
    return code if isinstance(code, int) else None


def retry_after(error: BaseException) -> float | None:
    """The seconds that an error's answer asks to wait; None where it does not ask."""
    return requested_pause(getattr(getattr(error, "response", None), "headers", None) or {})


def requested_pause(headers: Mapping[str, str]) -> float | None:
    """The seconds that a service asks to wait; None where it does not ask.

    Args:
        headers: Of its answer, by their names in small letters: ``retry-after``, a number or a date (RFC 9110, 10.2.3),
            or ``ratelimit`` with nothing remaining (draft-ietf-httpapi-ratelimit-headers-09).
    """
    said = headers.get("retry-after")
    if said is None:
        spent = _SPENT.search(headers.get("ratelimit", ""))
        return float(spent[1]) if spent else None
    try:
        return max(0.0, float(said))
    except ValueError:
        date = email.utils.parsedate_tz(said)
        return None if date is None else max(0.0, email.utils.mktime_tz(date) - time.time())


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it was raised from, down to the first cause."""
    while error is not None:
        yield error
        error = error.__cause__


def _is_one_of(error: BaseException, names: frozenset[str]) -> bool:
    """Whether an error is of one of httpx's classes, or httpx2's; by name, for either may be missing."""
    return any(kind.__name__ in names and kind.__module__.partition(".")[0] in _CLIENTS for kind in type(error).__mro__)
