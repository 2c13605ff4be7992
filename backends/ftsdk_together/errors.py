"""What the errors of Together's client mean."""

from collections.abc import Mapping
from typing import Any

from ftsdk.job_types import Reason
from ftsdk.remote.error_mapper import ErrorMapper, HttpRefusal

# The service's own message is left out: for a wrong key, its client says that the job would exceed the free credits.
_KEY_REFUSED = HttpRefusal(
    "TOGETHER_API_KEY is wrong, or lacks a right or credit",
    "check the key and the account at https://api.together.ai/settings",
    quotes_service=False,
)


def _message_of(error: BaseException) -> str:
    """The service's message, from either form of its error bodies."""
    body: Any = getattr(error, "body", None)
    detail = body.get("error", body) if isinstance(body, Mapping) else body
    message = detail.get("message") if isinstance(detail, Mapping) else detail
    return str(message or "")


ERROR_MAPPER = ErrorMapper(
    service="Together",
    transport_packages=frozenset({"together", "httpx", "json", "pydantic_core"}),
    transient_statuses=frozenset({408, 409, 425, 429}),
    retry_hint="try again later; https://status.together.ai reports outages",
    message_of=_message_of,
    refusals={
        401: _KEY_REFUSED,
        402: HttpRefusal(
            "payment is required", "raise the balance or the spending limit, then submit again", Reason.QUOTA
        ),
        403: _KEY_REFUSED,
    },
    transport_errors=(Exception,),  # the client raises bare ones
)
