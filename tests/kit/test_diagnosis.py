"""From an engine's last words to the reason of its failure."""

import pytest

from ftsdk.job import Reason
from ftsdk.kit.engines.diagnosis import diagnose, read_result
from ftsdk.kit.jobs.outcome import Failure

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


def test_a_runner_that_the_system_kills(tmp_path):
    """Nothing is left of it but the number of the signal; the next step is to need less, and to resume."""
    with pytest.raises(Failure, match="was killed by the system") as caught:
        read_result(tmp_path, "unsloth", 9, ["loading weights"])

    assert (Reason.OOM, True) == (caught.value.reason, "then resume" in caught.value.hint)
