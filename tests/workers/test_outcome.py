"""What an exception of a library means for the job."""

import pytest

from ftsdk.job_types import Reason
from ftsdk.workers.outcome import outcome_of

FULL = (
    RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 355200 vs 355088"),
    RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
    OSError(28, "No space left on device"),
)


@pytest.mark.parametrize("error", FULL, ids=["torch", "safetensors", "python"])
def test_a_full_disk_is_recognised(error):
    """Whatever a library's message, a full disk is a full disk, and the job can be resumed."""
    outcome = outcome_of(error)

    assert (outcome.reason, outcome.hint) == (Reason.DISK_FULL, "free some space, then resume the job")


def test_an_unknown_error_names_the_log():
    """The hint names the file that has the traceback."""
    assert "worker.log" in outcome_of(RuntimeError("something else")).hint
