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
from ftsdk.job_types import JobState, Reason
from ftsdk.remote.create_once import IdempotentCreate
from ftsdk.remote.retries import never_sent, retry, status_code
from ftsdk_together.api import Api, Json
from ftsdk_together.errors import ERROR_MAPPER
from ftsdk_together.states import state_of
from ftsdk_together.translate import TOKEN
from ftsdk_together.upload import bring

_ESTIMATED = ("model", "from_checkpoint", "n_epochs", "n_evals", "training_type", "training_method")


def submit(api: Api, plan: Plan, token: str, record: Record) -> str:
    """See :meth:`ftsdk.backend.Backend.submit`."""
    if earlier := find(api, plan, token):
        return earlier
    if not plan.native["limits_checked"]:
        raise RejectedError("the plan was made without Together's limits for the model", hint="plan and submit again")
    with tempfile.TemporaryDirectory(prefix="ftsdk-together-") as folder:
        files = bring(api, plan, Path(folder), record)
    _check_price(api, plan, files, record)
    body = {
        **plan.native["create"],
        **files,
        "suffix": plan.native["create"]["suffix"].replace(TOKEN, token),
        **{native: _key(variable) for native, variable in plan.native["keys"].items()},
    }

    def send() -> str | None:
        answer = retry(lambda: api.post_once("/v1/fine-tunes", body), api.timing.patience, helps=_was_not_taken)
        if not isinstance(answer.get("id"), str):
            return None
        _note_differences(body, answer, record)
        return str(answer["id"])

    def refusal(error: Exception) -> BaseException:
        return ERROR_MAPPER.mapped(error, "create the job")

    return _once(api, plan).create(send, lambda: _listed(api, token), record, refusal)


def find(api: Api, plan: Plan, token: str) -> str | None:
    """The job with this token, where there is one, or None where it is certain that there is none.

    Raises:
        AmbiguousError: A creation was sent, and no job shows up, or the list cannot be had.
    """
    return _once(api, plan).find(lambda: _listed(api, token))


def _once(api: Api, plan: Plan) -> IdempotentCreate:
    hint = "look again later; if Together's own page of jobs shows none, submit a new job"
    return IdempotentCreate("Together", plan, api.timing.look, hint)


def _was_not_taken(error: BaseException) -> bool:
    """Whether the same creation may be sent again: it did not leave, or was refused for the moment."""
    return never_sent(error) or status_code(error) == 429


def _listed(api: Api, token: str) -> str | None:
    """The one job with this token; of several alive, all but the newest are cancelled, for each would be paid."""
    mine = [job for job in api.jobs() if bears(job, token) and isinstance(job.get("id"), str)]
    if not mine:
        return None
    mine.sort(key=lambda job: str(job.get("created_at")), reverse=True)
    alive = [job for job in mine if not state_of(str(job.get("status"))).done]
    done = [job for job in mine if state_of(str(job.get("status"))) is JobState.SUCCEEDED]
    kept: Json = (alive or done or mine)[0]
    for extra in alive[1:]:
        with suppress(RejectedError):  # it may just have ended
            api.cancel(extra["id"])
    return str(kept["id"])


def bears(job: Json, token: str) -> bool:
    """Whether a job of the list carries the token, in its suffix or in the name that is made of it."""
    return any(token in str(job.get(name) or "").lower() for name in ("suffix", "model_output_name"))


def _check_price(api: Api, plan: Plan, files: Mapping[str, str], record: Record) -> None:
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
