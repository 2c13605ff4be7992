"""A connection to the Hub through its own client, each call bounded in time."""

import os
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from ftsdk.errors import AuthError, ConfigError, MissingExtra, Problem, UnreachableError
from ftsdk.huggingface.errors import ERROR_MAPPER, TOKEN, TOKENS_PAGE, endpoint
from ftsdk.remote.retries import Timeouts, requested_pause, retry

if TYPE_CHECKING:
    from huggingface_hub import HfApi

Answer = TypeVar("Answer")

_SLOWEST = 120.0
"""Seconds that the Hub may take to answer, for a commit of many files takes its time."""

_bounded: "weakref.WeakSet[Any]" = weakref.WeakSet()  # clients that we have given time limits


class Hub:
    """The Hub's client, and how patient to be with it.

    Args:
        api: The client; it has the address and the token.
        timing: How long things may take.
    """

    def __init__(self, api: "HfApi", timing: Timeouts) -> None:
        self.api = api
        self.timing = timing

    def ask(self, call: Callable[[], Answer], doing: str) -> Answer:
        """Ask something that is safe to repeat, with patience.

        Args:
            call: Asks through :attr:`api`.
            doing: What is asked, for messages: ``tell about the job``.
        """
        with ERROR_MAPPER.translate_errors(doing):
            return retry(call, self.timing.retry_policy)

    def namespace(self, wanted: str | None = None) -> str:
        """The user's name, or the organization's that he wants and belongs to.

        Raises:
            AuthError: The token is wrong, or may only read.
            ConfigError: He does not belong to the organization.
        """
        me: dict[str, Any] = self.ask(self.api.whoami, "tell whose token this is")
        role = ((me.get("auth") or {}).get("accessToken") or {}).get("role")
        if role == "read":
            raise AuthError(
                f"{TOKEN} may only read, and a job needs repositories of its own", hint=f"make another: {TOKENS_PAGE}"
            )
        names = [me["name"], *(each["name"] for each in me.get("orgs") or [])]
        if wanted is not None and wanted not in names:
            raise ConfigError(f"you do not belong to {wanted!r} on the Hub", hint=f"one of: {', '.join(names)}")
        return wanted or str(me["name"])


@contextmanager
def connected(extra: str, timing: Timeouts, *, anonymous: bool = False) -> Iterator[Hub]:
    """The Hub, with the user's token: ``HF_TOKEN``, or the one that ``hf auth login`` keeps in ``HF_HOME``.

    Args:
        extra: The extra that brings the client, for the error.
        timing: How long things may take.
        anonymous: Whether it may be asked without a token.

    Raises:
        AuthError: There is no token.
        MissingExtra: The client is not installed.
        UnreachableError: ``HF_HUB_OFFLINE`` is set.
    """
    try:
        from huggingface_hub import HfApi, constants, get_session, get_token  # noqa: PLC0415 - slow to import
    except ModuleNotFoundError as error:
        raise MissingExtra(extra, error.name or "huggingface_hub") from error
    if constants.HF_HUB_OFFLINE:
        raise UnreachableError("HF_HUB_OFFLINE is set, so the Hub is not asked", hint="unset HF_HUB_OFFLINE")
    token = get_token()
    if token is None and not anonymous:
        raise AuthError(f"{TOKEN} is not set", hint=f"make a token at {TOKENS_PAGE}; export it, or: hf auth login")
    _bound(get_session(), timing)
    yield Hub(HfApi(endpoint=endpoint(), token=token or False), timing)


def token_problems() -> list[Problem]:
    """What stands in the way of asking the Hub as somebody; empty: there is a token."""
    from huggingface_hub import get_token  # noqa: PLC0415 - slow to import

    if get_token():
        return []
    return [Problem(TOKEN, "is not set", f"make a token at {TOKENS_PAGE}; export it, or: hf auth login")]


def values_of(names: Sequence[str]) -> dict[str, str]:
    """The values of environment variables; the Hub's token also from where ``hf auth login`` keeps it.

    Raises:
        AuthError: One is not set.
    """
    from huggingface_hub import get_token  # noqa: PLC0415 - slow to import

    found = {name: (get_token() if name == TOKEN else os.environ.get(name)) or "" for name in names}
    for name, value in found.items():
        if not value:
            raise AuthError(f"{name} is not set any more", hint=f"export {name}=..., then submit again")
    return found


def _bound(session: Any, timing: Timeouts) -> None:
    """Give the client, which all of its users share, time limits where it has none: alone, it would wait for ever."""
    import httpx2  # noqa: PLC0415 - it comes with the client

    def refuse_to_sleep(response: Any) -> None:
        """Where the Hub asks for a longer pause than we have patience for, the client would sleep through it."""
        if (requested_pause(response.headers) or 0.0) > timing.retry_policy.longest_pause:
            response.read()
            response.raise_for_status()

    if session in _bounded or session.timeout == httpx2.Timeout(None):
        if session not in _bounded:
            session.event_hooks["response"].append(refuse_to_sleep)
        _bounded.add(session)
        session.timeout = httpx2.Timeout(timing.call, connect=timing.connect, read=min(4 * timing.call, _SLOWEST))
