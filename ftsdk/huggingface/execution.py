"""A Job or a Space at Hugging Face, as far as monitoring needs to know it."""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from ftsdk.job_types import JobState


class ExecutionStatus(NamedTuple):
    """What Hugging Face reports of a job's machine."""

    state: JobState
    """Without regard to the results, which decide over success and failure."""
    raw_status: str
    """Hugging Face's own word."""
    message: str
    """Hugging Face's own; it may be empty."""
    times: tuple[float, float, float]
    """Created, started, ended: seconds since 1970; 0 for what has not happened."""
    repository: str
    """The repository of the results; empty where it is not known."""
    cost: float | None = None
    """US dollars so far."""


class RemoteExecution(ABC):
    """A Job or a Space."""

    title: ClassVar[str]
    """For messages: ``the Job``."""
    runs_after_completion: ClassVar[bool]
    """Whether it may run on, and cost, when its work is done."""

    @abstractmethod
    def inspect(self) -> ExecutionStatus:
        """Ask Hugging Face for its status.

        Raises:
            JobNotFound: It does not exist.
        """

    @abstractmethod
    def lines(self, tail: int | None = None, *, ended: bool) -> list[tuple[float, str]]:
        """The lines of its log so far, each with its time; or the last ones, about as many as ``tail``.

        Args:
            tail: About how many; None: all.
            ended: Whether the log is complete.
        """

    @abstractmethod
    def stop(self) -> None:
        """End it before its time."""

    @abstractmethod
    def stop_billing(self) -> str:
        """Make sure that it costs nothing more once its work is done.

        Returns:
            A warning where that is not certain; else an empty text.
        """
