import errno

import pytest

from ftsdk.errors import DataError, SpecError
from ftsdk.job_types import JobState, Reason
from ftsdk.workers.outcome import Stopped, WorkerError, outcome_of

NAMES = ("API_KEY", "ACCESS_TOKEN", "DB_PASSWORD", "CLIENT_SECRET")
VENDORS = ("TOGETHER_API_KEY", "REPLICATE_API_TOKEN", "OPENAI_API_KEY", "WANDB_API_KEY")


class OutOfMemoryError(RuntimeError):
    """Named as torch names it."""


@pytest.mark.parametrize(
    ("error", "reason", "message"),
    [
        (WorkerError(Reason.DIVERGED, "loss is nan"), Reason.DIVERGED, "loss is nan"),
        (DataError("no rows", problems=[("a.jsonl:3", "empty", "")]), Reason.DATA_ERROR, "no rows\na.jsonl:3: empty"),
        (SpecError("no such device"), Reason.ENGINE_ERROR, "no such device"),
        (MemoryError(), Reason.OOM, "MemoryError"),
        (OutOfMemoryError("CUDA out of memory"), Reason.OOM, "CUDA out of memory"),
        (KeyError("weights"), Reason.ENGINE_ERROR, "KeyError: 'weights'"),
        (SystemExit(3), Reason.ENGINE_ERROR, "SystemExit: 3"),
        (Stopped("timeout"), Reason.TIMEOUT, "compute.timeout has passed"),
    ],
)
def test_each_failure_has_its_reason(error, reason, message):
    """What the engine raises becomes a reason of the closed list, with the evidence."""
    outcome = outcome_of(error)

    assert (JobState.FAILED, reason, message) == (outcome.state, outcome.reason, outcome.message)


def test_a_cancel_is_no_failure():
    """An engine that stopped because it was cancelled leaves a cancelled job."""
    assert JobState.CANCELLED == outcome_of(Stopped("cancel")).state


def test_a_full_disk_is_reported(bench):
    """A job whose checkpoint does not fit on the disk fails as such, and can be resumed."""
    status = bench.wait(bench.submit("full_disk"))

    assert (Reason.DISK_FULL, "free some space, then resume the job") == (status.reason, status.hint)


def test_a_foreign_gate_is_known_by_its_name():
    """An error of a library is recognised without importing the library."""

    class GatedRepoError(OSError):
        pass

    assert Reason.GATED_MODEL == outcome_of(GatedRepoError("no access")).reason


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_disk_is_full_in_three_ways(number):
    """No space, no quota, no larger file: all of them mean a full disk."""
    assert Reason.DISK_FULL == outcome_of(OSError(number, "full")).reason


def test_other_errors_of_the_system_are_not_a_full_disk():
    """A missing file is an error of the engine."""
    assert Reason.ENGINE_ERROR == outcome_of(FileNotFoundError(errno.ENOENT, "gone")).reason


def test_a_huge_message_is_cut():
    """A message that holds half a tensor is cut in the middle."""
    message = outcome_of(RuntimeError("x" * 10**6)).message

    assert (True, True) == (len(message) < 2100, message.startswith("RuntimeError"))


def test_no_secret_reaches_the_folder(bench, monkeypatch):
    """No key is in any file of the job, and none but the Hub's is in the worker's environment."""
    canaries = {name: f"canary-{name}-Zq8w2" for name in (*NAMES, *VENDORS, "HF_TOKEN")}
    for name, value in canaries.items():
        monkeypatch.setenv(name, value)

    job = bench.submit("leaky")
    status = bench.wait(job)

    folder = bench.folder(job).path
    leaks = [path.name for path in folder.rglob("*") if path.is_file() and b"Zq8w2" in path.read_bytes()]
    passed = canaries.keys() & (folder / "environment").read_text().split("\n")
    assert ([], {"HF_TOKEN"}, "the key [secret] is wrong") == (leaks, passed, status.message)


def test_the_folder_is_the_users_alone(bench):
    """No other user can read the job's folder."""
    job = bench.submit("quick")
    bench.wait(job)

    assert 0o700 == bench.folder(job).path.stat().st_mode & 0o777
