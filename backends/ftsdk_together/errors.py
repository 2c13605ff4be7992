"""What the errors of Together's client mean."""

from collections.abc import Mapping
from typing import Any

from ftsdk.errors import AuthError, BackendError, RejectedError
from ftsdk.job_types import Reason
from ftsdk.remote.error_mapper import ErrorMapper


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


def _message_of(error: BaseException) -> str:
    """What the service said, from either shape of its error bodies."""
    body: Any = getattr(error, "body", None)
    inner = body.get("error", body) if isinstance(body, Mapping) else body
    said = inner.get("message") if isinstance(inner, Mapping) else inner
    return str(said or "")


ERROR_MAPPER = ErrorMapper(
    service="Together",
    clients=frozenset({"together", "httpx", "json", "pydantic_core"}),
    moment=frozenset({408, 409, 425, 429}),
    later="try again later; https://status.together.ai tells of outages",
    message_of=_message_of,
    refusal=_refusal,
    silences=(Exception,),  # the client raises bare ones
)
