"""Ctrl-C stops the command, never the job."""

from collections.abc import Iterator
from contextlib import contextmanager

from ftsdk.errors import JobError


class Interrupted(JobError):
    """The user pressed Ctrl-C; a submitted job is not affected."""


@contextmanager
def job_continues(ref: str) -> Iterator[None]:
    """Turn Ctrl-C into an error that says that the job goes on, and how to follow it again.

    Raises:
        Interrupted: In place of the interrupt.
    """
    # No signal reaches the job itself: a local worker runs in a session of its own.
    try:
        yield
    except KeyboardInterrupt as interrupt:
        hint = f"ftsdk wait {ref} follows it again"
        raise Interrupted(f"stopped following; {ref} goes on", ref=ref, hint=hint) from interrupt
