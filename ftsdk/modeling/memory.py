"""Find the micro-batch that fits: start from a guess, halve it when memory runs out."""

import resource
import sys
from collections.abc import Callable
from typing import TypeVar

import psutil
import torch

from ftsdk.job_types import Reason
from ftsdk.units import GIB, gib
from ftsdk.workers.outcome import WorkerError

# PyTorch has an exception of its own for GPUs only; its allocator for CPUs raises a plain RuntimeError.
_CPU_MESSAGES = ("can't allocate memory", "not enough memory")

MOST_TOKENS = {"cuda": 16384, "cpu": 2048}
"""Tokens at a time beyond which a larger micro-batch is no faster."""


class MicroBatch:
    """How much of an optimizer step is computed at a time; changes the memory, never the gradients.

    Args:
        tokens: Tokens at a time; a longer row is computed alone.
        rows: Rows at a time. None: as many as the tokens allow.
    """

    def __init__(self, tokens: int, rows: int | None = None) -> None:
        self.tokens = tokens
        self.rows = rows

    def halve(self, longest: int) -> bool:
        """Halve it; False where it was a single row, of ``longest`` tokens, already.

        Args:
            longest: Tokens of the longest row of the step that did not fit.
        """
        if self.rows == 1 or (self.tokens <= longest and self.rows is None):
            return False
        self.tokens = max(self.tokens // 2, 1)
        if self.rows is not None:
            self.rows = max(self.rows // 2, 1)
        return True

    def __str__(self) -> str:
        return f"{self.tokens} tokens" + (f", {self.rows} rows" if self.rows else "") + " at a time"


Result = TypeVar("Result")


def until_it_fits(
    compute: Callable[[], Result],
    micro_batch: MicroBatch,
    *,
    longest: int,
    rows: int = 1,
    device: torch.device,
    warn: Callable[[str], None],
    clean_up: Callable[[], None] = lambda: None,
) -> Result:
    """Compute; out of memory, compute again with half as much at a time.

    Args:
        compute: Reads from ``micro_batch`` how much to do at a time.
        micro_batch: Halved in place.
        longest: Tokens of the longest row; or of the longest pair of rows, which are never split.
        rows: 2 for pairs.
        device: Where it is computed.
        warn: Called with a message for each halving.
        clean_up: Undoes what a failed attempt has left, such as the gradients of the bins before.

    Raises:
        WorkerError: Not even one row fits.
    """
    while True:
        try:
            return compute()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            evidence = str(error).partition("\n")[0]
        # The retry stands outside of the except clause: inside, the traceback would keep the frames of the failed
        # attempt alive, and with them all tensors that did not fit.
        before = str(micro_batch)
        if not micro_batch.halve(longest):
            raise single_row_error(evidence, longest, peak_bytes(device), rows)
        clean_up()
        empty_cache(device)
        warn(f"out of memory with {before}; continuing with {micro_batch}")


def single_row_error(evidence: str, longest: int, peak: int, rows: int = 1) -> WorkerError:
    """The error where even a single row, or pair, does not fit, with the numbers and the smallest change."""
    unit = "row" if rows == 1 else "pair of rows"
    message = f"a single {unit} of {longest} tokens does not fit: the peak was {gib(peak)} ({evidence})"
    smaller = (
        f"set compute.gradient_checkpointing=true; else training.max_length={max(longest // rows // 2, 2)}; "
        "else compute.quantization=nf4, or a smaller model"
    )
    return WorkerError(Reason.OOM, message, hint=smaller)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that memory ran out, on a GPU or on the CPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(message in str(error) for message in _CPU_MESSAGES)


def limit_memory(device: torch.device, limit: int | None) -> None:
    """Limit this process to so many bytes (``compute.memory_limit``), on the GPU or in main memory.

    Raises:
        WorkerError: The libraries alone hold more main memory than that.
    """
    if limit is None:
        return
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(limit / total, 1.0), device)
    elif sys.platform == "linux":
        _limit_main_memory(limit)


def _limit_main_memory(limit: int) -> None:
    """Set the kernel's limit on this process's data."""
    memory = psutil.Process().memory_info()
    in_use = memory.rss - memory.shared
    if in_use >= limit:
        raise WorkerError(
            Reason.OOM,
            f"the engine holds {gib(in_use)} before any weight is loaded, and may hold {gib(limit)}",
            hint=f"set compute.memory_limit to more than {in_use / GIB + 0.1:.1f}GiB",
        )
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    # RLIMIT_DATA counts what is mapped, also thread stacks and malloc arenas without a page in memory yet. Those exist
    # already, so they are added to the limit. RLIMIT_AS would count mapped weight files as well.
    resource.setrlimit(resource.RLIMIT_DATA, (limit + memory.data - in_use, hard))


def peak_bytes(device: torch.device) -> int:
    """The most memory that this process has held so far, in bytes."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes on macOS, in KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def empty_cache(device: torch.device) -> None:
    """Give cached blocks back before a smaller attempt."""
    # PyTorch's caching allocator keeps blocks of the sizes that were asked for before; smaller bins need other sizes.
    if device.type == "cuda":
        torch.cuda.empty_cache()
