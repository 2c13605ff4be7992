"""Tables from Together's words for states, events, reasons and metrics to ours."""

import re
from collections.abc import Mapping
from typing import Any

from ftsdk.job_types import JobState, Reason

STATES = {
    "pending": JobState.QUEUED,
    "queued": JobState.QUEUED,
    "running": JobState.RUNNING,
    "compressing": JobState.RUNNING,
    "uploading": JobState.RUNNING,
    "cancel_requested": JobState.CANCELLING,
    "cancelled": JobState.CANCELLED,
    "error": JobState.FAILED,
    "user_error": JobState.FAILED,
    "completed": JobState.SUCCEEDED,
}
"""From a status, in lower case, to ours; a word that is not here is ``unknown``."""

EVENT_STATES = {
    "job_pending": JobState.QUEUED,
    "job_start": JobState.RUNNING,
    "training_start": JobState.RUNNING,
    "job_complete": JobState.SUCCEEDED,
    "job_error": JobState.FAILED,
    "job_user_error": JobState.FAILED,
    "user_error": JobState.FAILED,
    "cancel_requested": JobState.CANCELLING,
}
"""From a type of event, in lower case, to the state that it reports; the others are log lines."""

METRICS = {
    "train/loss": "loss",
    "train/learning_rate": "learning_rate",
    "train/grad_norm": "grad_norm",
    "train/epoch": "epoch",
    "eval/loss": "eval_loss",
}
"""From a metric to its Transformers name; the others keep their own, in plain characters."""

_REASONS = (
    (re.compile(r"out of memory|\boom\b", re.IGNORECASE), Reason.OOM),
    (re.compile(r"billing|balance|credit|spending limit|insufficient funds", re.IGNORECASE), Reason.QUOTA),
    (re.compile(r"gated|access to (the )?model", re.IGNORECASE), Reason.GATED_MODEL),
    (re.compile(r"w&b|wandb|api key|unauthorized|authenticat|token is invalid", re.IGNORECASE), Reason.AUTH),
    (re.compile(r"\bnan\b|diverge|not finite", re.IGNORECASE), Reason.DIVERGED),
    (re.compile(r"timed? ?out", re.IGNORECASE), Reason.TIMEOUT),
    (re.compile(r"preempt", re.IGNORECASE), Reason.PREEMPTED),
)
"""From the message of an error event to our reason; the first match counts."""

_DEFAULT_REASONS = {"user_error": Reason.DATA_ERROR, "error": Reason.PROVIDER_ERROR}

HINTS = {
    Reason.QUOTA: "raise the balance or the spending limit at Together, then submit again",
    Reason.DATA_ERROR: "fix what the message names, then submit again; the same job would fail again",
    Reason.AUTH: "check the key that the message names, then submit again",
    Reason.OOM: "lower training.max_length, then submit again",
    Reason.DIVERGED: "lower training.learning_rate, then submit again",
    Reason.PROVIDER_ERROR: "the fault is Together's, and a failed job is refunded: submit again",
}
"""The smallest change that helps."""


def state_of(word: str) -> JobState:
    """Our state for a status as it came."""
    return STATES.get(word.lower(), JobState.UNKNOWN)


def reason_of(word: str, evidence: str) -> Reason | None:
    """Why a job ended early: by the message of its last error event, or else by its status."""
    matched = next((reason for pattern, reason in _REASONS if pattern.search(evidence)), None)
    if state_of(word) is JobState.CANCELLED:
        return matched if matched is Reason.QUOTA else None  # Together cancels jobs that the account cannot pay
    return matched or _DEFAULT_REASONS.get(word.lower())


def metrics_of(row: Mapping[str, Any]) -> dict[str, float]:
    """The values of one row of metrics that are finite numbers, by our names."""
    values = {name: value for name, value in row.items() if name not in ("timestamp", "train/global_step")}
    return {_plain(name): float(value) for name, value in values.items() if _is_number(value)}


def _plain(name: str) -> str:
    transformers_name = METRICS.get(name)
    bare = re.sub(r"[^a-z0-9]+", "_", name.lower().removeprefix("train/")).strip("_")
    return transformers_name or bare or "value"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")
