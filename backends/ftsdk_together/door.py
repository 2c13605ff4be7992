"""The one place where the errors of Together's client become ours."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ftsdk.errors import AmbiguousError, AuthError, BackendError, FtsdkError, RejectedError, UnreachableError
from ftsdk.job import Reason
from ftsdk.kit.http import may_pass, status_code
from ftsdk.redact import redact

_LONGEST = 400  # characters of what the service says; more is a page for browsers

_THEIRS = frozenset({"together", "httpx", "json", "pydantic_core"})
"""Packages whose errors mean that no answer came, or none that makes sense; so do the client's bare exceptions."""

_ABOUT_THE_MOMENT = frozenset({408, 409, 425, 429})


@contextmanager
def door(doing: str, *, silence: type[AmbiguousError | UnreachableError] = UnreachableError) -> Iterator[None]:
    """Raise ours for theirs.

    Args:
        doing: What was asked, for the message: ``list the jobs``.
        silence: The error where no answer came, or none that says anything.
    """
    try:
        yield
    except FtsdkError:
        raise
    except Exception as error:
        raise translated(error, doing, silence) from error


def translated(error: Exception, doing: str, silence: type[AmbiguousError | UnreachableError]) -> BaseException:
    """Our error for theirs; the error itself where it is none of the client's."""
    code = status_code(error)
    if code is None:
        if isinstance(error, OSError):
            return error  # of this machine: a full disk, a missing file
        if may_pass(error) or type(error) is Exception or type(error).__module__.split(".")[0] in _THEIRS:
            return silence(f"Together did not answer when asked to {doing} ({type(error).__name__})", hint=_LATER)
        return error
    said = message_of(error)
    if code >= 500 or code in _ABOUT_THE_MOMENT or code < 400:
        return silence(f"Together could not {doing} at the moment (HTTP {code}){said}", hint=_LATER)
    return _refusal(code, doing, said)


_LATER = "try again later; https://status.together.ai tells of outages"


def _refusal(code: int, doing: str, said: str) -> BackendError:
    if code in (401, 403):
        return AuthError(
            f"Together refused to {doing} (HTTP {code}): TOGETHER_API_KEY is wrong, or lacks a right or credit",
            hint="check the key and the account at https://api.together.ai/settings",
        )
    if code == 402:
        return RejectedError(
            f"Together wants money before it will {doing} (HTTP 402){said}",
            reason=Reason.QUOTA.value,
            hint="raise the balance or the spending limit, then submit again",
        )
    return RejectedError(f"Together refused to {doing} (HTTP {code}){said}", hint="change what it names")


def message_of(error: Exception) -> str:
    """``: what the service said``, from either shape of its error bodies, without secrets; empty where it is silent."""
    body: Any = getattr(error, "body", None)
    inner = body.get("error", body) if isinstance(body, Mapping) else body
    said = inner.get("message") if isinstance(inner, Mapping) else inner
    text = " ".join(redact(str(said)).split()) if said else ""
    return f": {text[:_LONGEST]}" if text else ""
