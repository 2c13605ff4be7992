"""The one place where the errors of Replicate's client and of the connection become ours."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ftsdk.errors import AmbiguousError, AuthError, BackendError, FtsdkError, RejectedError, UnreachableError
from ftsdk.job import Reason
from ftsdk.kit.http import may_pass, status_code
from ftsdk.redact import redact

_LONGEST = 400  # characters of what the service says; more is a page for browsers
_THEIRS = frozenset({"replicate", "httpx", "json", "pydantic", "pydantic_core"})
_ABOUT_THE_MOMENT = frozenset({408, 425, 429})
_LATER = "try again later; https://replicatestatus.com tells of outages"


@contextmanager
def door(doing: str) -> Iterator[None]:
    """Raise ours for theirs.

    Args:
        doing: What was asked, for the message: ``list the trainings``.
    """
    try:
        yield
    except FtsdkError:
        raise
    except Exception as error:
        raise translated(error, doing, UnreachableError) from error


def translated(error: Exception, doing: str, silence: type[AmbiguousError | UnreachableError]) -> BaseException:
    """Our error for theirs; the error itself where it is none of the client's."""
    code = status_code(error)
    if code is None:
        if isinstance(error, OSError):
            return error  # of this machine: a full disk, a missing file
        if may_pass(error) or type(error).__module__.split(".")[0] in _THEIRS:
            return silence(f"Replicate did not answer when asked to {doing} ({type(error).__name__})", hint=_LATER)
        return error
    said = message_of(error)
    if code >= 500 or code in _ABOUT_THE_MOMENT or code < 400:
        return silence(f"Replicate could not {doing} at the moment (HTTP {code}){said}", hint=_LATER)
    return _refusal(code, doing, said)


def _refusal(code: int, doing: str, said: str) -> BackendError:
    if code in (401, 403):
        return AuthError(
            f"Replicate refused to {doing} (HTTP {code}): REPLICATE_API_TOKEN is wrong, or lacks a right{said}",
            hint="check the token at https://replicate.com/account/api-tokens",
        )
    if code == 402:
        return RejectedError(
            f"Replicate wants money before it will {doing} (HTTP 402){said}",
            reason=Reason.QUOTA.value,
            hint="buy credit at https://replicate.com/account/billing, wait some minutes, submit again",
        )
    reason = Reason.DATA_ERROR if code == 422 else Reason.PROVIDER_ERROR
    return RejectedError(
        f"Replicate refused to {doing} (HTTP {code}){said}", reason=reason.value, hint="change what it names"
    )


def message_of(error: BaseException) -> str:
    """``: what the service said``, without secrets; empty where it is silent, or where it sent a page for browsers."""
    try:
        body: Any = error.response.json()  # type: ignore[attr-defined] # of whatever client
    except Exception:  # noqa: BLE001 - no JSON, or a stream that was not read
        return ""
    said = (body.get("detail") or body.get("title")) if isinstance(body, Mapping) else body
    text = " ".join(redact(str(said)).split()) if said else ""
    return f": {text[:_LONGEST]}" if text else ""
