"""Ctrl-C: it ends the watching, never the job."""

from collections.abc import Iterator
from contextlib import contextmanager

from ftsdk.errors import JobError


class Interrupted(JobError):
    """The user pressed Ctrl-C; a submitted job does not care."""


@contextmanager
def job_goes_on(ref: str) -> Iterator[None]:
    """Tell somebody who stops watching a job that it goes on, and how to come back.

    Raises:
        Interrupted: In place of the interrupt.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        hint = f"come back with: ftsdk wait {ref}"
        raise Interrupted(f"you stopped watching; {ref} goes on", ref=ref, hint=hint) from stop
