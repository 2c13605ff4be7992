"""Classes and functions of :mod:`ftsdk.remote` with the fields and parameters that they had."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Self, TypeVar

from ftsdk.backend import Plan, Record
from ftsdk.errors import BackendError, FtsdkError
from ftsdk.remote.create_once import FindJob, IdempotentCreate
from ftsdk.remote.error_mapper import ErrorMapper, format_quote
from ftsdk.remote.retries import RetryPolicy, Timeouts, retry, status_code

Answer = TypeVar("Answer")

CREATED, CREATION = "job", "creation"
"""Names of facts; :class:`ftsdk.remote.create_once.CreationRecord` reads and writes them."""


class Door(NamedTuple):
    """:class:`ftsdk.remote.error_mapper.ErrorMapper`, with a function for refusals in the place of its table."""

    service: str
    clients: frozenset[str]
    moment: frozenset[int]
    later: str
    message_of: Callable[[BaseException], str]
    refusal: Callable[[int, str, str], BackendError]
    silences: tuple[type[Exception], ...] = ()

    @contextmanager
    def through(self, action: str) -> Iterator[None]:
        """Raise ours for theirs."""
        try:
            yield
        except FtsdkError:
            raise
        except Exception as error:
            raise self.translated(error, action) from error

    def translated(self, error: Exception, action: str) -> BaseException:
        """Our error for theirs."""
        code = status_code(error)
        if code is not None and 400 <= code < 500 and code not in self.moment:
            return self.refusal(code, action, format_quote(self.message_of(error)))
        return ErrorMapper(
            service=self.service,
            transport_packages=self.clients,
            transient_statuses=self.moment,
            retry_hint=self.later,
            message_of=self.message_of,
            transport_errors=self.silences,
        ).map(error, action)


class Once(NamedTuple):
    """:class:`ftsdk.remote.create_once.IdempotentCreate`, which sends a creation again by itself now."""

    service: str
    plan: Plan
    look_seconds: float
    hint: str

    def find(self, look: FindJob) -> str | None:
        """The id of the job that exists, or None where it is certain that there is none."""
        return self._creation.find(look)

    def create(
        self, send: FindJob, look: FindJob, record: Record, refusal: Callable[[Exception], BaseException]
    ) -> str:
        """Create the job, and return its id."""
        return self._creation.create(send, look, record, refusal)

    @property
    def _creation(self) -> IdempotentCreate:
        return IdempotentCreate(self.service, self.plan, self.look_seconds, self.hint)


class Patience(RetryPolicy):
    """:class:`ftsdk.remote.retries.RetryPolicy`, whose ``total_seconds`` was ``total``."""

    def __new__(
        cls, attempts: int = 5, first_pause: float = 0.5, longest_pause: float = 60.0, total: float = 90.0
    ) -> Self:
        """A policy, by the names of its fields in version 0.1."""
        return super().__new__(cls, attempts, first_pause, longest_pause, total)

    @property
    def total(self) -> float:
        """No further call begins after this time."""
        return self.total_seconds


class Timing(Timeouts):
    """:class:`ftsdk.remote.retries.Timeouts`: ``retry_policy`` was ``patience``, and ``poll_interval`` was ``look``."""

    def __new__(
        cls,
        call: float = 30.0,
        connect: float = 10.0,
        patience: RetryPolicy = RetryPolicy(),  # noqa: B008 - an immutable value
        look: float = 1.0,
    ) -> Self:
        """Timeouts, by the names of their fields in version 0.1."""
        return super().__new__(cls, call, connect, patience, look)

    @property
    def patience(self) -> RetryPolicy:
        """For calls that are safe to repeat."""
        return self.retry_policy

    @property
    def look(self) -> float:
        """Between two looks at something that is waited for."""
        return self.poll_interval


def patiently(
    call: Callable[[], Answer], patience: RetryPolicy, *, helps: Callable[[BaseException], bool] | None = None
) -> Answer:
    """Call, and call again after errors that may pass."""
    return retry(call, patience, is_retryable=helps)
