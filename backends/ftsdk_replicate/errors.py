"""What the errors of Replicate's client and of the connection mean."""

from collections.abc import Mapping
from typing import Any

from ftsdk.errors import AuthError, BackendError, RejectedError
from ftsdk.job_types import Reason
from ftsdk.remote.error_mapper import ErrorMapper


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


def _message_of(error: BaseException) -> str:
    """What the service said; empty where it is silent, or where it sent a page for browsers."""
    try:
        body: Any = error.response.json()  # type: ignore[attr-defined] # of whatever client
    except Exception:  # noqa: BLE001 - no JSON, or a stream that was not read
        return ""
    said = (body.get("detail") or body.get("title")) if isinstance(body, Mapping) else body
    return str(said or "")


ERROR_MAPPER = ErrorMapper(
    service="Replicate",
    clients=frozenset({"replicate", "httpx", "json", "pydantic", "pydantic_core"}),
    moment=frozenset({408, 425, 429}),
    later="try again later; https://replicatestatus.com tells of outages",
    message_of=_message_of,
    refusal=_refusal,
)
