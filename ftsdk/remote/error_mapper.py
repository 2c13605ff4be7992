"""Turn the errors of a service's client into ours: one table for each service."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import NamedTuple

from ftsdk.errors import AuthError, BackendError, FtsdkError, RejectedError, UnreachableError
from ftsdk.job_types import Reason
from ftsdk.redact import redact
from ftsdk.remote.retries import is_transient, status_code

LONGEST = 400
"""Characters of a service's message that are quoted; more is a page for browsers."""


class HttpRefusal(NamedTuple):
    """What a service means by one HTTP status that refuses a request."""

    explanation: str
    """Ends the sentence "the service refused to ...: "; empty where the service's own message is all there is."""
    hint: str
    """The next step."""
    reason: Reason | None = None
    """Why the job fails. None: the key is the problem (:class:`ftsdk.errors.AuthError`)."""
    quotes_service: bool = True
    """Whether the service's own message follows; some of them mislead."""


_OTHER_REFUSAL = HttpRefusal("", "change what it names", Reason.PROVIDER_ERROR)


class ErrorMapper(NamedTuple):
    """The errors of one service."""

    service: str
    """Its name, for messages."""
    transport_packages: frozenset[str]
    """Packages whose errors mean that no answer came, or none that makes sense."""
    transient_statuses: frozenset[int]
    """HTTP statuses below 500 that may pass by themselves."""
    retry_hint: str
    """The next step when it does not answer."""
    message_of: Callable[[BaseException], str]
    """The service's own message in an error, as it came; empty where there is none."""
    refusals: Mapping[int, HttpRefusal] = MappingProxyType({})
    """From an HTTP status to its meaning; the others are refusals without a special one."""
    transport_errors: tuple[type[Exception], ...] = ()
    """Exceptions, of these very types, that mean the same as those of ``transport_packages``."""

    @contextmanager
    def translate_errors(self, action: str) -> Iterator[None]:
        """Raise ftsdk's error in place of the client's.

        Args:
            action: What was requested, for the message: ``list the jobs``.
        """
        try:
            yield
        except FtsdkError:
            raise
        except Exception as error:
            raise self.map(error, action) from error

    def map(self, error: Exception, action: str) -> BaseException:
        """Ftsdk's error for the client's; the error itself if it is not the client's."""
        code = status_code(error)
        if code is None:
            if is_transient(error) or type(error) in self.transport_errors or self._is_from_client(error):
                message = f"{self.service} did not answer when asked to {action} ({type(error).__name__})"
                return UnreachableError(message, hint=self.retry_hint)
            return error  # ours, or of this machine: a full disk, a missing file
        quote = format_quote(self.message_of(error))
        # Also below 400: a redirect that was not followed, or a success whose body the client could not read.
        if code >= 500 or code in self.transient_statuses or code < 400:
            message = f"{self.service} could not {action} at the moment (HTTP {code}){quote}"
            return UnreachableError(message, hint=self.retry_hint)
        return self._refused(code, action, quote)

    def _refused(self, code: int, action: str, quote: str) -> BackendError:
        refusal = self.refusals.get(code, _OTHER_REFUSAL)
        message = f"{self.service} refused to {action} (HTTP {code})"
        message += f": {refusal.explanation}" if refusal.explanation else ""
        message += quote if refusal.quotes_service else ""
        if refusal.reason is None:
            return AuthError(message, hint=refusal.hint)
        return RejectedError(message, reason=refusal.reason.value, hint=refusal.hint)

    def _is_from_client(self, error: Exception) -> bool:
        # By package, not by class: some of the client's errors derive from OSError, as those of this disk do.
        return type(error).__module__.partition(".")[0] in self.transport_packages


def format_quote(message: object) -> str:
    """``: the service's message``, on one line, without secrets, and not too long; empty where it has none."""
    text = " ".join(redact(str(message)).split()) if message else ""
    return f": {text[:LONGEST]}" if text else ""
