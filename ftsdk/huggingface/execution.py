"""What a container runs on at Hugging Face, as far as whoever watches it needs to know."""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from ftsdk.job_types import JobState


class Seen(NamedTuple):
    """What Hugging Face says of a job's machine."""

    state: JobState
    """As far as that can be told without looking at what was made."""
    word: str
    """Hugging Face's own."""
    message: str
    """Hugging Face's own; it may be empty."""
    times: tuple[float, float, float]
    """Created, started, ended: seconds since 1970; 0 for what has not happened."""
    repository: str
    """Where the results come to; empty where it is not known."""
    cost: float | None = None
    """US dollars so far."""


class RemoteExecution(ABC):
    """A Job or a Space."""

    title: ClassVar[str]
    """For messages: ``the Job``."""
    outlives: ClassVar[bool]
    """Whether it may run on, and cost, when its work is done."""

    @abstractmethod
    def look(self) -> Seen:
        """Where it is now.

        Raises:
            JobNotFound: There is none.
        """

    @abstractmethod
    def lines(self, tail: int | None = None, *, ended: bool) -> list[tuple[float, str]]:
        """The lines of its log so far, each with its time; or the last ones, about as many as ``tail``.

        Args:
            tail: About how many; None: all.
            ended: Whether nothing more will be written.
        """

    @abstractmethod
    def stop(self) -> None:
        """End it before its time."""

    @abstractmethod
    def settle(self) -> str:
        """See to it that it costs nothing more, once its work is done; a warning where that is not certain."""
