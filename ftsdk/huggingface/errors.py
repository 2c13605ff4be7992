"""What the errors of the Hub's client mean."""

import os

from ftsdk.errors import AuthError, BackendError, RejectedError
from ftsdk.job_types import Reason
from ftsdk.remote.error_mapper import ErrorMapper

TOKEN = "HF_TOKEN"  # noqa: S105 - the name of a variable
TOKENS_PAGE = "https://huggingface.co/settings/tokens"


def page(path: str) -> str:
    """The address of a page of the Hub that the user has chosen."""
    return f"{endpoint()}/{path}"


def endpoint() -> str:
    """The address of the Hub: ``HF_ENDPOINT``, or the public one."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def _refusal(code: int, doing: str, said: str) -> BackendError:
    if code == 401:
        return AuthError(
            f"the Hub refused to {doing} (HTTP 401): {TOKEN} is wrong or has expired{said}",
            hint=f"make a token with write access at {TOKENS_PAGE}; then export {TOKEN}=..., or: hf auth login",
        )
    if code == 403:
        return AuthError(
            f"the Hub refused to {doing} (HTTP 403): the token lacks the right to{said}",
            hint=f"give it write access to repositories, and to Jobs, at {TOKENS_PAGE}",
        )
    if code == 402:
        return RejectedError(
            f"the Hub wants money before it will {doing} (HTTP 402){said}",
            reason=Reason.QUOTA.value,
            hint="buy credit at https://huggingface.co/settings/billing, then submit again",
        )
    return RejectedError(f"the Hub refused to {doing} (HTTP {code}){said}", hint="change what it names")


def _message_of(error: BaseException) -> str:
    """What the Hub said, as its client has read it; empty where it is silent."""
    return str(getattr(error, "server_message", None) or "")


ERROR_MAPPER = ErrorMapper(
    service="the Hub",
    clients=frozenset({"huggingface_hub", "httpx2", "httpx", "json"}),
    moment=frozenset({408, 409, 425, 429}),
    later="try again later; https://status.huggingface.co tells of outages",
    message_of=_message_of,
    refusal=_refusal,
    silences=(KeyError, TypeError),  # of the client, where an answer is not what it should be
)
