"""Tables from Replicate's words for states and failures to ours."""

import re
from collections.abc import Mapping
from typing import Any

from ftsdk.job_types import JobState, Reason

STATES = {
    "starting": JobState.QUEUED,
    "processing": JobState.RUNNING,
    "succeeded": JobState.SUCCEEDED,
    "failed": JobState.FAILED,
    "canceled": JobState.CANCELLED,
    "aborted": JobState.FAILED,
}
"""From a status, in lower case, to ours; a word that is not here is ``unknown``."""

_REASONS = (
    (r"E1001|out of memory|\bOOM\b", Reason.OOM, "lower training.max_length or the batch, or take another trainer"),
    (r"input failed validation|invalid_fields|IndexError|KeyError|JSONDecodeError|ValueError", Reason.DATA_ERROR,
     "fix what it names, then submit again"),
    (r"insufficient credit|billing|spend limit", Reason.QUOTA, "buy credit at replicate.com/account/billing"),
    (r"gated repo|401 Client Error|403 Client Error|invalid token", Reason.AUTH, "check the trainer's own key"),
    (r"failed to create trained image|push.*image", Reason.PROVIDER_ERROR,
     "the training itself went well: its weights may still be there; ask Replicate about the bill"),
    (r"timed? ?out|deadline", Reason.TIMEOUT, "train less at a time, then submit again"),
    (r"\bnan\b|not finite|diverged", Reason.DIVERGED, "lower training.learning_rate"),
)  # fmt: skip
_TAIL = 2000  # characters of a log


def state_of(word: str) -> JobState:
    """Our state for a status as it came."""
    return STATES.get(word.lower(), JobState.UNKNOWN)


def evidence_of(training: Mapping[str, Any]) -> str:
    """The message of a failure: the training's error, or the last line of its log."""
    error = training.get("error")
    if error:
        return str(error)
    lines = [line.strip() for line in str(training.get("logs") or "")[-_TAIL:].splitlines() if line.strip()]
    return lines[-1] if lines else ""


def reason_of(training: Mapping[str, Any]) -> tuple[Reason, str]:
    """Why a training failed, and the smallest change that helps."""
    if str(training.get("status")).lower() == "aborted":
        return Reason.TIMEOUT, "it did not start in time, and was not billed: submit again"
    text = f"{training.get('error') or ''}\n{str(training.get('logs') or '')[-_TAIL:]}"
    for pattern, reason, hint in _REASONS:
        if re.search(pattern, text, re.IGNORECASE):
            return reason, hint
    return Reason.PROVIDER_ERROR, "read the log (ftsdk logs); what ran until then may have been billed"
