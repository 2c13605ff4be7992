"""Find out why an engine failed: from its runner's report, or from what it printed."""

import json
import re
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ftsdk.job_types import Reason
from ftsdk.workers.outcome import WorkerError

_SAVE_MEMORY = "lower training.max_length, or set compute.quantization or compute.gradient_checkpointing"
_TABLE = (
    (
        r"out of memory|OutOfMemoryError|CUBLAS_STATUS_ALLOC_FAILED|MemoryError|[Cc]an(no|')t allocate memory",
        Reason.OOM,
        _SAVE_MEMORY,
    ),
    (r"No space left on device|os error 28|Disk quota exceeded", Reason.DISK_FULL, "free some space, then resume"),
    (r"GatedRepoError|gated repo|awaiting a review", Reason.GATED_MODEL, "ask for access on the model's page"),
    (r"401 Client Error|Invalid user token|RepositoryNotFoundError", Reason.AUTH, "set HF_TOKEN, and check the name"),
    (r"packed sequence|packing the dataset", Reason.DATA_ERROR, "give more rows, or lower training.max_length"),
    (r"KeyError: |DatasetGenerationError|JSONDecodeError|column", Reason.DATA_ERROR, "check the rows that it names"),
    (r"loss is nan|non-finite|diverged", Reason.DIVERGED, "lower training.learning_rate"),
)
"""From a pattern to the reason and the next step; the order decides where several match a line."""

_HINTS = {reason: hint for _, reason, hint in _TABLE}
"""The next step, by the reason; of several, the last in the table, which is the most general."""

_READ_LOG = "read the log: ftsdk logs"
_ERROR_LINE = re.compile(r"\w*(Error|Exception)\b|error:|killed", re.IGNORECASE)


def diagnose(lines: Sequence[str], message: str = "") -> WorkerError:
    """The failure that an engine's last lines report.

    Args:
        lines: What it printed, the last line last.
        message: The message, where it is known; the lines then give the reason alone. Empty: the last line that reports
            an error.
    """
    error_lines = [line.strip() for line in (*lines, message) if line and _ERROR_LINE.search(line)]
    # From the end: the last error is the one that ended the engine; earlier ones may have been handled.
    for line in (message, *reversed(error_lines)):
        for pattern, reason, hint in _TABLE:
            if re.search(pattern, line):
                return WorkerError(reason, message or line, hint)
    return WorkerError(Reason.ENGINE_ERROR, message or (error_lines or ["the engine has failed"])[-1], _READ_LOG)


def read_result(folder: Path, engine: str, status: int, tail: Sequence[str], ref: str) -> dict[str, Any]:
    """The result of an engine's runner, from the ``result.json`` that it writes.

    Args:
        folder: The engine's folder.
        engine: Its name, for messages.
        status: The runner's exit status.
        tail: The last lines that were printed.
        ref: The job's reference.

    Raises:
        WorkerError: The job has failed.
    """
    path = folder / "result.json"
    result: dict[str, Any] = (
        json.loads(path.read_text("utf-8")) if path.is_file() else _missing_result(engine, status, tail)
    )
    if result["state"] == "succeeded":
        return result
    if result["kind"]:
        reason = Reason(result["kind"])
        failure = WorkerError(reason, result["message"], _HINTS.get(reason, _READ_LOG))
    else:
        failure = diagnose(tail, result["message"])
    hint = f"{_READ_LOG} {ref}" if failure.hint == _READ_LOG else failure.hint
    raise WorkerError(failure.reason, failure.message, hint)


def _missing_result(engine: str, status: int, tail: Sequence[str]) -> dict[str, Any]:
    """The result in the place of one that a runner did not write."""
    # ftsdk sends no SIGKILL where no stop was requested, so it came from the kernel.
    if status == signal.SIGKILL and diagnose(tail).reason is not Reason.OOM:
        message = f"the process of {engine} was killed by the system, as happens where main memory runs out"
        return {"state": "failed", "kind": Reason.OOM, "message": message}
    failure = diagnose([*tail, f"error: the process of {engine} ended with {status} and left no result"])
    return {"state": "failed", "kind": failure.reason, "message": failure.message}
