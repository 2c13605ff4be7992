"""Our errors for those of the Hub's client."""

import os

from ftsdk.job_types import Reason
from ftsdk.remote.error_mapper import ErrorMapper, HttpRefusal

TOKEN = "HF_TOKEN"  # noqa: S105 - the name of a variable
TOKENS_PAGE = "https://huggingface.co/settings/tokens"


def page(path: str) -> str:
    """The address of a page of the Hub."""
    return f"{endpoint()}/{path}"


def endpoint() -> str:
    """The address of the Hub: ``HF_ENDPOINT``, or the public one."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def _message_of(error: BaseException) -> str:
    """The Hub's message, as its client has read it; empty where there is none."""
    return str(getattr(error, "server_message", None) or "")


ERROR_MAPPER = ErrorMapper(
    service="the Hub",
    transport_packages=frozenset({"huggingface_hub", "httpx2", "httpx", "json"}),
    transient_statuses=frozenset({408, 409, 425, 429}),
    retry_hint="try again later; https://status.huggingface.co reports outages",
    message_of=_message_of,
    refusals={
        401: HttpRefusal(
            f"{TOKEN} is wrong or has expired",
            f"create a token with write access at {TOKENS_PAGE}; then export {TOKEN}=..., or: hf auth login",
        ),
        402: HttpRefusal(
            "payment is required",
            "buy credit at https://huggingface.co/settings/billing, then submit again",
            Reason.QUOTA,
        ),
        403: HttpRefusal(
            "the token lacks the right to do this",
            f"give it write access to repositories, and to Jobs, at {TOKENS_PAGE}",
        ),
    },
    transport_errors=(KeyError, TypeError),  # the client indexes into an answer without checking it first
)
