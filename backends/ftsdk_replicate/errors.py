"""What the errors of Replicate's client and of the connection mean."""

from collections.abc import Mapping
from typing import Any

from ftsdk.job_types import Reason
from ftsdk.remote.error_mapper import ErrorMapper, HttpRefusal

_TOKEN_REFUSED = HttpRefusal(
    "REPLICATE_API_TOKEN is wrong, or lacks a right",
    "check the token at https://replicate.com/account/api-tokens",
)


def _message_of(error: BaseException) -> str:
    """The service's message; empty where there is none, or where it sent a page for browsers."""
    try:
        body: Any = error.response.json()  # type: ignore[attr-defined] # of whatever client
    except Exception:  # noqa: BLE001 - no JSON, or a stream that was not read
        return ""
    message = (body.get("detail") or body.get("title")) if isinstance(body, Mapping) else body
    return str(message or "")


ERROR_MAPPER = ErrorMapper(
    service="Replicate",
    transport_packages=frozenset({"replicate", "httpx", "json", "pydantic", "pydantic_core"}),
    transient_statuses=frozenset({408, 425, 429}),
    retry_hint="try again later; https://replicatestatus.com reports outages",
    message_of=_message_of,
    refusals={
        401: _TOKEN_REFUSED,
        402: HttpRefusal(
            "payment is required",
            "buy credit at https://replicate.com/account/billing, wait some minutes, submit again",
            Reason.QUOTA,
        ),
        403: _TOKEN_REFUSED,
        422: HttpRefusal("", "change what it names", Reason.DATA_ERROR),
    },
)
