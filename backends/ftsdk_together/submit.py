"""Create exactly one job for a token: upload the rows, check the price, send the creation.

When a creation may be sent at all is decided in :mod:`ftsdk.remote.create_once`.
"""

import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ftsdk.backend import Plan, Record
from ftsdk.errors import AuthError, RejectedError, UnreachableError
from ftsdk.job_types import Reason
from ftsdk.remote.backend import ServiceJob, keep_newest
from ftsdk_together.api import Json, TogetherApi
from ftsdk_together.states import state_of
from ftsdk_together.translate import TOKEN
from ftsdk_together.upload import upload_rows

_ESTIMATED = ("model", "from_checkpoint", "n_epochs", "n_evals", "training_type", "training_method")
"""Fields of the creation that the price is estimated from."""
_COMPARED = ("model", "n_epochs", "batch_size", "learning_rate", "training_type")
"""Fields of the creation that are compared with Together's answer."""


def prepare(api: TogetherApi, plan: Plan, token: str, record: Record) -> Json:
    """Upload the rows, check the price, and return the body of the creation.

    Raises:
        AuthError: A key that the job needs is not set any more.
        DataError: The rows are not supported.
        RejectedError: The plan was made without the model's limits, Together refuses a file, or the price is too high.
        UnreachableError: Together does not answer.
    """
    if not plan.native["limits_checked"]:
        raise RejectedError("the plan was made without Together's limits for the model", hint="plan and submit again")
    with tempfile.TemporaryDirectory(prefix="ftsdk-together-") as folder:
        files = upload_rows(api, plan, Path(folder), record)
    _check_price(api, plan, files, record)
    return {
        **plan.native["create"],
        **files,
        "suffix": plan.native["create"]["suffix"].replace(TOKEN, token),
        **{native: _key(variable) for native, variable in plan.native["keys"].items()},
    }


def create(api: TogetherApi, body: Json, record: Record) -> str | None:
    """Send the creation once, and return the job's id; None where the answer names none."""
    answer = api.post_once("/v1/fine-tunes", body)
    if not isinstance(answer.get("id"), str):
        return None
    _record_differences(body, answer, record)
    return str(answer["id"])


def find_job(api: TogetherApi, token: str) -> str | None:
    """The one job with this token; of several alive, all but the newest are cancelled, for each would be paid."""

    # The list and not a single job: only there is the suffix, which has the token.
    def stop(job_id: str) -> None:
        with suppress(RejectedError):  # it may just have ended
            api.cancel(job_id)

    entries = [job for job in api.jobs() if has_token(job, token) and isinstance(job.get("id"), str)]
    jobs = [ServiceJob(job["id"], state_of(str(job.get("status"))), str(job.get("created_at"))) for job in entries]
    return keep_newest(jobs, stop)


def has_token(job: Json, token: str) -> bool:
    """Whether a job of the list has the token, in its suffix or in the name that is made of it."""
    return any(token in str(job.get(name) or "").lower() for name in ("suffix", "model_output_name"))


def _check_price(api: TogetherApi, plan: Plan, files: Mapping[str, str], record: Record) -> None:
    """Refuse a job whose estimated price is above the user's limit, or above what the account can pay.

    Without a limit, a price that cannot be estimated stops nothing.
    """
    create, limit = plan.native["create"], plan.native["price_limit"]
    question = {name: create[name] for name in _ESTIMATED if name in create} | dict(files)
    try:
        answer = api.post("/v1/fine-tunes/estimate-price", "estimate the price", question)
    except (RejectedError, UnreachableError) as error:
        if limit is not None:
            raise
        record(price=f"unknown: {error.message}")
        return
    price = answer.get("estimated_total_price")
    if answer.get("estimation_available") is False or not isinstance(price, int | float):
        price = None
    record(price="unknown" if price is None else f"${price:.2f}")
    # An unknown price is above every limit: the user has said what may be spent, not what may be guessed.
    if limit is not None and (price is None or price > limit):
        reason = answer.get("unavailable_reason") or "no reason is given"
        estimate = f"cannot estimate the price ({reason})" if price is None else f"estimates ${price:.2f}"
        raise _over_budget(f"Together {estimate}, and price_limit is ${limit:.2f}", "raise or drop price_limit")
    # Together creates such a job nonetheless, and is likely to cancel it on the way; the steps until then are paid.
    if answer.get("allowed_to_proceed") is False:
        message = "Together estimates the job above what the account can pay"
        raise _over_budget(message, "raise the balance or the limit")


def _over_budget(message: str, hint: str) -> RejectedError:
    full_hint = f"{hint}, then submit again"
    return RejectedError(f"{message}; nothing was created", reason=Reason.QUOTA.value, hint=full_hint)


def _key(variable: str) -> str:
    key = os.environ.get(variable)
    if not key:
        raise AuthError(f"{variable} is not set any more", hint=f"export {variable}=..., then submit again")
    return key


def _record_differences(body: Mapping[str, Any], answer: Json, record: Record) -> None:
    """Record the fields that Together repeats otherwise than they were sent."""
    differing = [name for name in _COMPARED if name in body and not _agrees(body[name], answer.get(name))]
    if differing:
        record(differs=", ".join(differing))


def _agrees(request: Any, echo: Any) -> bool:
    """Whether an echo repeats what was requested; where it leaves something out, it does not contradict."""
    if echo is None:
        return True
    if isinstance(request, dict) and isinstance(echo, dict):
        return all(_agrees(value, echo.get(name)) for name, value in request.items())
    is_same: bool = request == echo
    return is_same
