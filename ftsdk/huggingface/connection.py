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

_LONGEST_READ = 120.0
"""Seconds that the Hub may take to answer; a commit of many files takes long."""

# HTTP sessions that have our time limits. Weak: the client makes a new one after a fork, and may reuse an id.
_limited_sessions: "weakref.WeakSet[Any]" = weakref.WeakSet()


class Hub:
    """The Hub's client, with limits of time and repetition.

    Args:
        api: The client; it has the address and the token.
        timing: The time limits.
    """

    def __init__(self, api: "HfApi", timing: Timeouts) -> None:
        self.api = api
        self.timing = timing

    def ask(self, call: Callable[[], Answer], action: str) -> Answer:
        """Send a request that is safe to repeat, again after errors that may pass.

        Args:
            call: Sends it through :attr:`api`.
            action: What the Hub shall do, for messages: ``describe the Job``.
        """
        with ERROR_MAPPER.translate_errors(action):
            return retry(call, self.timing.retry_policy)

    def namespace(self, name: str | None = None) -> str:
        """The user's name, or that of an organization that the user belongs to.

        Args:
            name: The requested one; None: the user's own.

        Raises:
            AuthError: The token is wrong, or may only read.
            ConfigError: The user does not belong to the organization.
        """
        user: dict[str, Any] = self.ask(self.api.whoami, "identify the token's owner")
        # Fine-grained tokens have another role, and their rights are known only when something is refused.
        role = ((user.get("auth") or {}).get("accessToken") or {}).get("role")
        if role == "read":
            raise AuthError(
                f"{TOKEN} may only read, and a job needs repositories of its own", hint=f"create another: {TOKENS_PAGE}"
            )
        names = [user["name"], *(organization["name"] for organization in user.get("orgs") or [])]
        if name is not None and name not in names:
            raise ConfigError(f"you do not belong to {name!r} on the Hub", hint=f"one of: {', '.join(names)}")
        return name or str(user["name"])


@contextmanager
def connected(extra: str, timing: Timeouts, *, anonymous: bool = False) -> Iterator[Hub]:
    """The Hub, with the user's token: ``HF_TOKEN``, or the one that ``hf auth login`` keeps in ``HF_HOME``.

    Args:
        extra: The extra that brings the client, for the error.
        timing: The time limits.
        anonymous: Whether no token is needed.

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
        raise UnreachableError("HF_HUB_OFFLINE is set, so the Hub is not contacted", hint="unset HF_HUB_OFFLINE")
    token = get_token()
    if token is None and not anonymous:
        raise AuthError(f"{TOKEN} is not set", hint=f"create a token at {TOKENS_PAGE}; export it, or: hf auth login")
    _limit_time(get_session(), timing)
    # False, not None: for None the client would look for a token itself.
    yield Hub(HfApi(endpoint=endpoint(), token=token or False), timing)


def token_problems() -> list[Problem]:
    """The problem of a missing token; empty: there is one."""
    from huggingface_hub import get_token  # noqa: PLC0415 - slow to import

    if get_token():
        return []
    return [Problem(TOKEN, "is not set", f"create a token at {TOKENS_PAGE}; export it, or: hf auth login")]


def values_of(names: Sequence[str]) -> dict[str, str]:
    """The values of environment variables; the Hub's token also from where ``hf auth login`` keeps it.

    Raises:
        AuthError: One is not set.
    """
    from huggingface_hub import get_token  # noqa: PLC0415 - slow to import

    values = {name: (get_token() if name == TOKEN else os.environ.get(name)) or "" for name in names}
    for name, value in values.items():
        if not value:
            raise AuthError(f"{name} is not set any more", hint=f"export {name}=..., then submit again")
    return values


def _limit_time(session: Any, timing: Timeouts) -> None:
    """Set time limits on the client's HTTP session."""
    import httpx2  # noqa: PLC0415 - it comes with the client

    def refuse_to_sleep(response: Any) -> None:
        """Raise where the Hub asks for a longer pause than the retry policy allows."""
        # The client retries some requests by itself, and sleeps for as long as Retry-After says: hours, if need be.
        if (requested_pause(response.headers) or 0.0) > timing.retry_policy.longest_pause:
            response.read()
            response.raise_for_status()

    # By default the session has no timeout at all, and a stalled connection would block for ever. It is shared by all
    # users of the client in this process: limits that the application has set itself are left as they are.
    if session in _limited_sessions or session.timeout == httpx2.Timeout(None):
        if session not in _limited_sessions:
            session.event_hooks["response"].append(refuse_to_sleep)
        _limited_sessions.add(session)
        session.timeout = httpx2.Timeout(timing.call, connect=timing.connect, read=min(4 * timing.call, _LONGEST_READ))
