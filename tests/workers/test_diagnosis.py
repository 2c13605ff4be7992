"""From an engine's last words to the reason of its failure."""

import json

import pytest

from ftsdk.job_types import Reason
from ftsdk.workers.diagnosis import diagnose, read_result
from ftsdk.workers.outcome import WorkerError

WORDS = {
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB": Reason.OOM,
    "RuntimeError: DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes": Reason.OOM,
    "OSError: [Errno 12] Cannot allocate memory": Reason.OOM,
    "SafetensorError: Error while serializing: No space left on device (os error 28)": Reason.DISK_FULL,
    "FloatingPointError: the loss or its gradient is non-finite at step 3": Reason.DIVERGED,
    "ValueError: something else": Reason.ENGINE_ERROR,
}


@pytest.mark.parametrize("words", WORDS)
def test_what_last_words_mean(words):
    """A traceback's last line decides, whatever was printed before it."""
    found = diagnose(["step 2 of 3", "Traceback (most recent call last):", words])

    assert (WORDS[words], words) == (found.reason, found.message)


def said(desk, status=1, tail=(), **result):
    """What is told of a runner's end."""
    if result:
        (desk / "result.json").write_text(json.dumps({"state": "failed", **result}))
    with pytest.raises(WorkerError) as caught:
        read_result(desk, "unsloth", status, tail, "unsloth:sft-1")
    return caught.value.reason, caught.value.message, caught.value.hint


def test_a_runner_that_the_system_kills(tmp_path):
    """Nothing is left of it but the number of the signal; the next step is to need less."""
    reason, message, hint = said(tmp_path, 9, ["loading weights"])

    assert (Reason.OOM, True, True) == (reason, "was killed by the system" in message, "max_length" in hint)


def test_a_runner_that_leaves_nothing(tmp_path):
    """Its status is told, and where to look, with the job's own name."""
    reason, message, hint = said(tmp_path, 3)

    assert (Reason.ENGINE_ERROR, True) == (reason, "ended with 3 and left no result" in message)
    assert "the log tells more: ftsdk logs unsloth:sft-1" == hint


@pytest.mark.parametrize(
    ("kind", "hint"),
    [
        ("oom", "lower training.max_length"),
        ("data_error", "look at the rows that it names"),
        ("engine_error", "ftsdk logs unsloth:sft-1"),
    ],
)
def test_what_the_runner_found_has_a_next_step(tmp_path, kind, hint):
    """Each reason has its own."""
    reason, message, step = said(tmp_path, kind=kind, message="what it found")

    assert (kind, "what it found", True) == (reason.value, message, hint in step)
