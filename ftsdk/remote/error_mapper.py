"""The one place where a service's errors become ours: what a service's client raises, read by one table for each."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from ftsdk.errors import BackendError, FtsdkError, UnreachableError
from ftsdk.redact import redact
from ftsdk.remote.retries import is_transient, status_code

LONGEST = 400
"""Characters of what a service says; more is a page for browsers."""


class ErrorMapper(NamedTuple):
    """One service, as far as its errors go."""

    service: str
    """Its name, for messages."""
    clients: frozenset[str]
    """Packages whose errors mean that no answer came, or none that makes sense."""
    moment: frozenset[int]
    """Refusals (HTTP) that are about the moment."""
    later: str
    """The next step when it does not answer."""
    message_of: Callable[[BaseException], str]
    """What the service said, as it came; empty where it is silent."""
    refusal: Callable[[int, str, str], BackendError]
    """Our error for a refusal: its HTTP status, what was asked, and what was said."""
    silences: tuple[type[Exception], ...] = ()
    """Bare exceptions, of these very types, that mean the same as those of ``clients``."""

    @contextmanager
    def translate_errors(self, doing: str) -> Iterator[None]:
        """Raise ours for theirs.

        Args:
            doing: What was asked, for the message: ``list the jobs``.
        """
        try:
            yield
        except FtsdkError:
            raise
        except Exception as error:
            raise self.mapped(error, doing) from error

    def mapped(self, error: Exception, doing: str) -> BaseException:
        """Our error for theirs; the error itself where it is none of the client's."""
        code = status_code(error)
        if code is None:
            if is_transient(error) or type(error) in self.silences or self._is_theirs(error):
                said = f"{self.service} did not answer when asked to {doing} ({type(error).__name__})"
                return UnreachableError(said, hint=self.later)
            return error  # ours, or of this machine: a full disk, a missing file
        said = tidy(self.message_of(error))
        if code >= 500 or code in self.moment or code < 400:
            what = f"{self.service} could not {doing} at the moment (HTTP {code}){said}"
            return UnreachableError(what, hint=self.later)
        return self.refusal(code, doing, said)

    def _is_theirs(self, error: Exception) -> bool:
        return type(error).__module__.partition(".")[0] in self.clients


def tidy(said: object) -> str:
    """``: what the service said``, on one line, without secrets, and not too long; empty where it is silent."""
    text = " ".join(redact(str(said)).split()) if said else ""
    return f": {text[:LONGEST]}" if text else ""
