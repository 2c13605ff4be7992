"""How a job ends: the exceptions that an engine raises, and the table from an exception to an outcome."""

import errno
import traceback
from collections.abc import Callable
from typing import Literal

from ftsdk.errors import AuthError, DataError, FtsdkError, UnreachableError
from ftsdk.job_types import JobState, Reason
from ftsdk.redact import redact
from ftsdk.spec import Section

_LONGEST = 2000  # characters of a message; a library's error can hold a whole tensor
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_DISK_FULL_WORDS = ("inline_container.cc", "PytorchStreamWriter failed", "No space left on device", "os error 28")
"""How libraries written in C++ and Rust report a full disk: as errors of their own, without an errno."""

_REASONS = ((DataError, Reason.DATA_ERROR), (AuthError, Reason.AUTH), (UnreachableError, Reason.PROVIDER_ERROR))
"""For errors of ours that have no reason."""

StopReason = Literal["cancel", "timeout"]


class WorkerError(Exception):
    """The job cannot go on, for a reason that is known.

    Args:
        reason: The reason, from the closed list.
        message: What happened, with the numbers that show it.
        hint: The smallest change that helps.
    """

    def __init__(self, reason: Reason, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.hint = hint


class Stopped(Exception):
    """The engine stopped because it was asked to, and has saved a checkpoint."""

    def __init__(self, reason: StopReason) -> None:
        super().__init__(reason)
        self.reason: StopReason = reason


class Outcome(Section):
    """How an attempt ended: the content of ``exit.json``."""

    state: JobState
    """Succeeded, failed or cancelled."""
    reason: Reason | None = None
    """Why it failed."""
    message: str = ""
    """What happened, without secrets."""
    hint: str = ""
    """The next step."""
    step: int | None = None
    """Optimizer steps done."""
    peak_memory: int | None = None
    """The largest amount of main memory that the worker used, in bytes."""


SUCCEEDED = Outcome(state=JobState.SUCCEEDED)


def stopped(reason: StopReason) -> Outcome:
    """The outcome of a job that was asked to stop."""
    if reason == "cancel":
        return Outcome(state=JobState.CANCELLED)
    return failed(Reason.TIMEOUT, "compute.timeout has passed", "resume the job, or give compute.timeout more time")


def failed(reason: Reason, message: str, hint: str = "") -> Outcome:
    """The outcome of a failure, without secrets and not too long."""
    return Outcome(state=JobState.FAILED, reason=reason, message=_clean(message), hint=_clean(hint))


def outcome_of(error: BaseException) -> Outcome:
    """The outcome of an exception: the first row of the table that matches."""
    return next(make(error) for kind, make in _TABLE if _matches(error, kind))


def _matches(error: BaseException, kind: type[BaseException] | str) -> bool:
    # By name, because to import the class would import torch or the Hub's client, only to compare with it.
    if isinstance(kind, str):
        return any(ancestor.__name__ == kind for ancestor in type(error).__mro__)
    return isinstance(error, kind)


def _of_os_error(error: OSError) -> Outcome:
    if error.errno in _DISK_FULL:
        return failed(Reason.DISK_FULL, f"the disk is full: {error}", "free some space, then resume the job")
    return _of_unknown(error)


def _of_ftsdk_error(error: FtsdkError) -> Outcome:
    given_reason = getattr(error, "reason", None)
    name = given_reason or next((reason for kind, reason in _REASONS if isinstance(error, kind)), None)
    reason = Reason(name) if name in set(Reason) else Reason.ENGINE_ERROR
    return failed(reason, "\n".join([error.message, *map(str, error.problems)]), error.hint)


def _of_unknown(error: BaseException) -> Outcome:
    if any(words in str(error) for words in _DISK_FULL_WORDS):
        return failed(Reason.DISK_FULL, f"the disk is full: {error}", "free some space, then resume the job")
    evidence = traceback.format_exception_only(error)[-1].strip()
    return failed(Reason.ENGINE_ERROR, evidence, "the traceback is in worker.log, in the job's folder")


def _with_reason(reason: Reason, hint: str) -> Callable[[BaseException], Outcome]:
    return lambda error: failed(reason, str(error) or type(error).__name__, hint)


_SAVE_MEMORY = "lower training.max_length, or set compute.quantization or compute.gradient_checkpointing"
_TABLE: tuple[tuple[type[BaseException] | str, Callable[..., Outcome]], ...] = (
    (WorkerError, lambda error: failed(error.reason, error.message, error.hint)),
    (Stopped, lambda error: stopped(error.reason)),
    (FtsdkError, _of_ftsdk_error),
    (MemoryError, _with_reason(Reason.OOM, _SAVE_MEMORY)),
    ("OutOfMemoryError", _with_reason(Reason.OOM, _SAVE_MEMORY)),
    ("GatedRepoError", _with_reason(Reason.GATED_MODEL, "ask for access on the model's page, and set HF_TOKEN")),
    (OSError, _of_os_error),
    (BaseException, _of_unknown),
)


def _clean(text: str) -> str:
    """A text without secrets and characters that UTF-8 cannot encode, cut in the middle where it is too long."""
    text = redact(text).encode("utf-8", "replace").decode("utf-8")
    half = _LONGEST // 2
    return text if len(text) <= _LONGEST else f"{text[:half]} ... {text[-half:]}"
