"""Make exactly one job for a token.

A creation is sent once. Where its answer leaves doubt, the list of jobs is asked, by the token in the suffix; where
that shows nothing, the job is parked, because a list may lag and a second creation may be paid twice.
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
from ftsdk.remote.backend import RemoteJob, keep_newest
from ftsdk_together.api import Json, TogetherApi
from ftsdk_together.states import state_of
from ftsdk_together.translate import TOKEN
from ftsdk_together.upload import bring

_ESTIMATED = ("model", "from_checkpoint", "n_epochs", "n_evals", "training_type", "training_method")


def prepare(api: TogetherApi, plan: Plan, token: str, record: Record) -> Json:
    """Upload the rows, check the price, and return the body of the creation.

    Raises:
        AuthError: A key that the job needs is not set any more.
        DataError: The rows do not fit.
        RejectedError: The plan was made without the model's limits, Together refuses a file, or the price is too high.
        UnreachableError: Together does not answer.
    """
    if not plan.native["limits_checked"]:
        raise RejectedError("the plan was made without Together's limits for the model", hint="plan and submit again")
    with tempfile.TemporaryDirectory(prefix="ftsdk-together-") as folder:
        files = bring(api, plan, Path(folder), record)
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
    _note_differences(body, answer, record)
    return str(answer["id"])


def find_job(api: TogetherApi, token: str) -> str | None:
    """The one job with this token; of several alive, all but the newest are cancelled, for each would be paid."""

    def stop(job_id: str) -> None:
        with suppress(RejectedError):  # it may just have ended
            api.cancel(job_id)

    listed = [job for job in api.jobs() if bears(job, token) and isinstance(job.get("id"), str)]
    jobs = [RemoteJob(job["id"], state_of(str(job.get("status"))), str(job.get("created_at"))) for job in listed]
    return keep_newest(jobs, stop)


def bears(job: Json, token: str) -> bool:
    """Whether a job of the list carries the token, in its suffix or in the name that is made of it."""
    return any(token in str(job.get(name) or "").lower() for name in ("suffix", "model_output_name"))


def _check_price(api: TogetherApi, plan: Plan, files: Mapping[str, str], record: Record) -> None:
    """Ask for the price, and stop where it is above the user's limit, or above what the account can pay.

    Without a limit, a price that cannot be told stops nothing.
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
    if limit is not None and (price is None or price > limit):
        why = answer.get("unavailable_reason") or "it gives no reason"
        told = f"cannot tell the price ({why})" if price is None else f"estimates ${price:.2f}"
        raise _too_dear(f"Together {told}, and price_limit is ${limit:.2f}", "raise or drop price_limit")
    if answer.get("allowed_to_proceed") is False:
        raise _too_dear("Together estimates the job above what the account can pay", "raise the balance or the limit")


def _too_dear(what: str, hint: str) -> RejectedError:
    return RejectedError(f"{what}; nothing was created", reason=Reason.QUOTA.value, hint=f"{hint}, then submit again")


def _key(variable: str) -> str:
    key = os.environ.get(variable)
    if not key:
        raise AuthError(f"{variable} is not set any more", hint=f"export {variable}=..., then submit again")
    return key


def _note_differences(sent: Mapping[str, Any], answer: Json, record: Record) -> None:
    """Keep what Together says it will do otherwise than it was told."""
    known = ("model", "n_epochs", "batch_size", "learning_rate", "training_type")
    other = [name for name in known if name in sent and not _agrees(sent[name], answer.get(name))]
    if other:
        record(differs=", ".join(other))


def _agrees(sent: Any, told: Any) -> bool:
    """Whether an echo repeats what was sent; where it says less, it does not contradict."""
    if told is None:
        return True
    if isinstance(sent, dict) and isinstance(told, dict):
        return all(_agrees(value, told.get(name)) for name, value in sent.items())
    same: bool = sent == told
    return same
