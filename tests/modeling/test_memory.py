"""Memory is limited by the user's setting, and out-of-memory errors are recognized."""

import resource
import subprocess
import sys

import pytest
import torch

from ftsdk.job_types import Reason
from ftsdk.modeling.loading import explain_load_errors
from ftsdk.modeling.memory import MicroBatch, is_out_of_memory, limit_memory
from ftsdk.workers.outcome import WorkerError

CPU_MESSAGE = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a process to its memory")


@pytest.mark.parametrize(
    ("micro_batch", "halved"),
    [
        (MicroBatch(2048), (1024, None)),
        (MicroBatch(150), (75, None)),
        (MicroBatch(400, rows=4), (200, 2)),
        (MicroBatch(100, rows=3), (50, 1)),
    ],
)
def test_half_as_much(micro_batch, halved):
    """Tokens and rows at a time are halved, as long as more than one row of a hundred tokens is tried."""
    again = micro_batch.halve(longest=100)

    assert (True, halved) == (again, (micro_batch.tokens, micro_batch.rows))


@pytest.mark.parametrize("micro_batch", [MicroBatch(100), MicroBatch(400, rows=1)])
def test_less_than_a_row_is_nothing(micro_batch):
    """A single row is the least."""
    assert not micro_batch.halve(longest=100)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError(CPU_MESSAGE), True),
        (RuntimeError("shapes cannot be multiplied"), False),
        (OSError("can't allocate memory"), False),
    ],
)
def test_out_of_memory_is_recognized(error, expected):
    """GPU, CPU and Python report it in different words."""
    assert expected == is_out_of_memory(error)


@ON_LINUX
def test_a_limit_below_the_libraries_is_an_error():
    """A limit that the imported libraries have passed already ends the job with the least that would do."""
    before = resource.getrlimit(resource.RLIMIT_DATA)

    with pytest.raises(WorkerError, match=r"holds .* GiB before any weight is loaded") as caught:
        limit_memory(torch.device("cpu"), 2**20)

    assert (Reason.OOM, before) == (caught.value.reason, resource.getrlimit(resource.RLIMIT_DATA))


@ON_LINUX
@pytest.mark.parametrize(("gibibytes", "fits"), [(0.5, True), (2, False)])
def test_the_limit_is_on_memory_in_use(gibibytes, fits):
    """Limited to one GiB more than it has, a process gets half of one, though it has mapped far more, but not two."""
    code = f"""
import psutil, torch
from ftsdk.modeling.memory import limit_memory
memory = psutil.Process().memory_info()
limit_memory(torch.device("cpu"), memory.rss - memory.shared + 2**30)
torch.empty(int({gibibytes} * 2**30), dtype=torch.uint8)
"""

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (fits, not fits) == (run.returncode == 0, "can't allocate memory" in run.stderr)


def test_a_model_that_does_not_fit_is_reported():
    """Memory that runs out while weights are loaded is no puzzle of the engine."""
    with pytest.raises(WorkerError, match="model: org/huge does not fit") as caught, explain_load_errors("org/huge"):
        raise RuntimeError(CPU_MESSAGE)

    assert Reason.OOM is caught.value.reason
