"""From an engine's last lines to the reason of its failure."""

import json

import pytest

from ftsdk.job_types import Reason
from ftsdk.workers.diagnosis import diagnose, read_result
from ftsdk.workers.outcome import WorkerError

REASONS = {
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB": Reason.OOM,
    "RuntimeError: DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes": Reason.OOM,
    "OSError: [Errno 12] Cannot allocate memory": Reason.OOM,
    "SafetensorError: Error while serializing: No space left on device (os error 28)": Reason.DISK_FULL,
    "FloatingPointError: the loss or its gradient is non-finite at step 3": Reason.DIVERGED,
    "ValueError: something else": Reason.ENGINE_ERROR,
}


@pytest.mark.parametrize("line", REASONS)
def test_what_last_lines_mean(line):
    """A traceback's last line decides, whatever was printed before it."""
    failure = diagnose(["step 2 of 3", "Traceback (most recent call last):", line])

    assert (REASONS[line], line) == (failure.reason, failure.message)


def failure(folder, status=1, tail=(), **result):
    """The error for the end of a runner."""
    if result:
        (folder / "result.json").write_text(json.dumps({"state": "failed", **result}))
    with pytest.raises(WorkerError) as caught:
        read_result(folder, "unsloth", status, tail, "unsloth:sft-1")
    return caught.value.reason, caught.value.message, caught.value.hint


def test_a_runner_that_the_system_kills(tmp_path):
    """It leaves nothing but the number of the signal; the next step is to need less memory."""
    reason, message, hint = failure(tmp_path, 9, ["loading weights"])

    assert (Reason.OOM, True, True) == (reason, "was killed by the system" in message, "max_length" in hint)


def test_a_runner_that_leaves_nothing(tmp_path):
    """The message has its status, and the hint the command that shows the log of this job."""
    reason, message, hint = failure(tmp_path, 3)

    assert (Reason.ENGINE_ERROR, True) == (reason, "ended with 3 and left no result" in message)
    assert "read the log: ftsdk logs unsloth:sft-1" == hint


@pytest.mark.parametrize(
    ("kind", "hint"),
    [
        ("oom", "lower training.max_length"),
        ("data_error", "check the rows that it names"),
        ("engine_error", "ftsdk logs unsloth:sft-1"),
    ],
)
def test_each_reason_of_a_runner_has_a_next_step(tmp_path, kind, hint):
    """From the reason alone: the message is the runner's."""
    reason, message, step = failure(tmp_path, kind=kind, message="what it found")

    assert (kind, "what it found", True) == (reason.value, message, hint in step)
