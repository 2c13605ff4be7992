"""Call a remote service again, a bounded number of times, where another call may help.

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

_EXHAUSTED = re.compile(r"\br=0\s*;\s*t=(\d+)")
"""In the header ``ratelimit``: no request remains, for so many seconds."""

_CLIENTS = frozenset({"httpx", "httpx2"})
_CONNECTION_LOST = frozenset({"TransportError"})
_NEVER_CONNECTED = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout"})
"""Errors of these clients: the connection was lost, or there was none."""


class RetryPolicy(NamedTuple):
    """How often and how long to repeat a call; all times in seconds."""

    attempts: int = 5
    """Calls in all."""
    first_pause: float = 0.5
    """Longest pause after the first call; the later ones grow twofold, with a random part."""
    longest_pause: float = 60.0
    """A service that asks for a longer one (Retry-After) is not waited for."""
    total_seconds: float = 90.0
    """No further call begins after this time."""


class Timeouts(NamedTuple):
    """How long calls and pauses may take, in seconds."""

    call: float = 30.0
    """One step of one call: until something is sent or comes in."""
    connect: float = 10.0
    retry_policy: RetryPolicy = RetryPolicy()
    """For calls that are safe to repeat."""
    poll_interval: float = 1.0
    """Between two polls of something that is waited for; it grows up to tenfold."""


def poll(call: Callable[[], Answer], interval: float, seconds: float) -> Iterator[Answer]:
    """Answers of repeated calls until the time is up; one at least, and at growing intervals."""
    end, longest = time.monotonic() + seconds, 10 * interval
    while True:
        yield call()
        remaining = end - time.monotonic()
        if remaining <= 0:
            return
        time.sleep(min(interval, remaining))
        interval = min(1.5 * interval, longest)


def retry(
    call: Callable[[], Answer], policy: RetryPolicy, *, is_retryable: Callable[[BaseException], bool] | None = None
) -> Answer:
    """Call, and call again after errors that may pass; the last error is raised as it is.

    Args:
        call: Safe to repeat.
        policy: How often and how long.
        is_retryable: Whether another call may help after an error. None: after 408, 425, 429, 5xx and lost connections.
    """
    may_pass = is_retryable or is_transient

    def is_worth_it(error: BaseException) -> bool:
        return may_pass(error) and (retry_after(error) or 0.0) <= policy.longest_pause

    grow = tenacity.wait_random_exponential(multiplier=policy.first_pause, max=policy.longest_pause)

    def pause(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        # Never earlier than the service asks: one that is called sooner may count it and block for longer.
        return max(grow(state), (retry_after(error) if error else None) or 0.0)

    return tenacity.Retrying(
        stop=tenacity.stop_after_attempt(policy.attempts) | tenacity.stop_after_delay(policy.total_seconds),
        wait=pause,
        retry=tenacity.retry_if_exception(is_worth_it),
        reraise=True,
    )(call)


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed later: the service was busy or broken, or the connection was."""
    code = status_code(error)
    if code is not None:
        return code in _MAY_PASS or code >= 500
    connection_errors = (ConnectionError, TimeoutError)  # of clients that are not written in Python
    return any(_is_one_of(cause, _CONNECTION_LOST) or isinstance(cause, connection_errors) for cause in causes(error))


def is_unsent(error: BaseException) -> bool:
    """Whether it is certain that the request never left: no connection was made."""
    # A ReadTimeout or a WriteError proves nothing: the service may have read the request and created a job.
    return status_code(error) is None and any(_is_one_of(cause, _NEVER_CONNECTED) for cause in causes(error))


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
    retry_after_header = headers.get("retry-after")
    if retry_after_header is None:
        exhausted = _EXHAUSTED.search(headers.get("ratelimit", ""))
        return float(exhausted[1]) if exhausted else None
    try:
        return max(0.0, float(retry_after_header))
    except ValueError:
        date = email.utils.parsedate_tz(retry_after_header)
        return None if date is None else max(0.0, email.utils.mktime_tz(date) - time.time())


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it was raised from, down to the first cause."""
    while error is not None:
        yield error
        error = error.__cause__


def _is_one_of(error: BaseException, names: frozenset[str]) -> bool:
    """Whether an error is of one of httpx's classes, or httpx2's."""
    # By name, because either package may be missing, and importing one here would make every backend need it.
    return any(kind.__name__ in names and kind.__module__.partition(".")[0] in _CLIENTS for kind in type(error).__mro__)
