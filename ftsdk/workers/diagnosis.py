"""Say why an engine failed: by its runner's report, or from what it printed."""

import json
import re
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ftsdk.job_types import Reason
from ftsdk.workers.outcome import WorkerError

_SMALLER = "lower training.max_length, or set compute.quantization or compute.gradient_checkpointing"
_TABLE = (
    (
        r"out of memory|OutOfMemoryError|CUBLAS_STATUS_ALLOC_FAILED|MemoryError|[Cc]an(no|')t allocate memory",
        Reason.OOM,
        _SMALLER,
    ),
    (r"No space left on device|os error 28|Disk quota exceeded", Reason.DISK_FULL, "free some space, then resume"),
    (r"GatedRepoError|gated repo|awaiting a review", Reason.GATED_MODEL, "ask for access on the model's page"),
    (r"401 Client Error|Invalid user token|RepositoryNotFoundError", Reason.AUTH, "set HF_TOKEN, and check the name"),
    (r"packed sequence|packing the dataset", Reason.DATA_ERROR, "give more rows, or lower training.max_length"),
    (r"KeyError: |DatasetGenerationError|JSONDecodeError|column", Reason.DATA_ERROR, "look at the rows that it names"),
    (r"loss is nan|non-finite|diverged", Reason.DIVERGED, "lower training.learning_rate"),
)
"""The first line that fits, from the last words backwards."""

_HINTS = {reason: hint for _, reason, hint in _TABLE}
"""The next step, by the reason; of several, the last in the table, which is the most general."""

_LOOK = "the log tells more: ftsdk logs"
_SPEAKS_OF_ERRORS = re.compile(r"\w*(Error|Exception)\b|error:|killed", re.IGNORECASE)


def diagnose(lines: Sequence[str], message: str = "") -> WorkerError:
    """The failure that an engine's last lines tell of.

    Args:
        lines: What it printed, the last line last.
        message: What is known of it already; the lines then tell the reason alone. Empty: the last line that speaks of
            an error.
    """
    telling = [line.strip() for line in (*lines, message) if line and _SPEAKS_OF_ERRORS.search(line)]
    for line in (message, *reversed(telling)):
        for pattern, reason, hint in _TABLE:
            if re.search(pattern, line):
                return WorkerError(reason, message or line, hint)
    return WorkerError(Reason.ENGINE_ERROR, message or (telling or ["the engine has failed"])[-1], _LOOK)


def read_result(desk: Path, engine: str, status: int, tail: Sequence[str], ref: str) -> dict[str, Any]:
    """What an engine's runner found, from the ``result.json`` that it leaves.

    Args:
        desk: The engine's folder.
        engine: Its name, for messages.
        status: The runner's exit status.
        tail: The last lines that were printed.
        ref: What its user calls the job.

    Raises:
        Failure: The job has failed.
    """
    path = desk / "result.json"
    result: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else _lost(engine, status, tail)
    if result["state"] == "succeeded":
        return result
    if result["kind"]:
        reason = Reason(result["kind"])
        found = WorkerError(reason, result["message"], _HINTS.get(reason, _LOOK))
    else:
        found = diagnose(tail, result["message"])
    raise WorkerError(found.reason, found.message, f"{_LOOK} {ref}" if found.hint == _LOOK else found.hint)


def _lost(engine: str, status: int, tail: Sequence[str]) -> dict[str, Any]:
    """What is to be said of a runner that left no result."""
    if status == signal.SIGKILL and diagnose(tail).reason is not Reason.OOM:
        what = f"the process of {engine} was killed by the system, as it does where main memory runs out"
        return {"state": "failed", "kind": Reason.OOM, "message": what}
    found = diagnose([*tail, f"error: the process of {engine} ended with {status} and left no result"])
    return {"state": "failed", "kind": found.reason, "message": found.message}
