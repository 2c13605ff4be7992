"""Every error that ftsdk raises, in one tree.

::

    FtsdkError
    ├── InputError (ValueError)          what the user wrote; nothing has been started or spent
    │   ├── SpecError                    the job spec, with the field
    │   │   └── UnsupportedSpec          the spec is valid, but this backend cannot honour all of it
    │   ├── DataError                    the rows, with file and line
    │   └── ConfigError                  ftsdk.toml, pyproject.toml or the environment
    ├── BackendError                     a backend, or the system behind it
    │   ├── BackendNotFound (LookupError)
    │   ├── MissingExtra (ImportError)   with the pip line to type
    │   ├── AuthError
    │   ├── RejectedError                the system refused: nothing was created
    │   ├── AmbiguousError               no certain answer: something may have been created; ask before creating again
    │   └── UnreachableError             the system cannot be asked now; what is known stays as it was
    ├── StoreError                       the durable job records
    │   ├── JobNotFound (LookupError)
    │   ├── KeyMismatch                  the same submit key, another spec
    │   └── StoreBusy
    ├── JobError
    │   ├── JobFailed                    reason, evidence, and the smallest change that helps
    │   ├── JobCancelled
    │   ├── JobNotReady                  the verb needs another state
    │   └── WaitTimeout (TimeoutError)
    └── ArtifactError                    what was fetched is not what it should be

Each error says what happened, where, and what to do next (``hint``). Errors survive pickling, so that they may cross
processes. To add one: put it in the tree above, derive it from its parent, and from the standard error that a caller
would otherwise catch.
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

_LONGEST_NAME = 100  # characters; longer names are slow to compare, and resemble none of ours


class Problem(NamedTuple):
    """One thing that is wrong: where it is, what is wrong, and what to do about it."""

    where: str
    """A dotted field of the spec (``training.packing``), ``file:line``, or the name of a thing."""
    what: str
    """The cause, in a sentence without its final stop."""
    fix: str = ""
    """The next step, or empty where ``what`` makes it plain."""

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.what}" + (f" -> {self.fix}" if self.fix else "")


def nearest(name: str, names: Iterable[str], otherwise: str = "") -> str:
    """The next step for an unknown name: the known one that resembles it, else ``otherwise``."""
    matches = difflib.get_close_matches(name[:_LONGEST_NAME], names, n=1)
    return f"did you mean {matches[0]}?" if matches else otherwise


class FtsdkError(Exception):
    """The root: catch it to catch everything that ftsdk raises on purpose.

    Args:
        message: What happened, naming the field, the file and line, or the job.
        hint: The next step for the reader.
        problems: The single findings, where there are several.
    """

    def __init__(self, message: str, *, hint: str = "", problems: Iterable[Problem] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.problems = tuple(Problem(*problem) for problem in problems)

    def __str__(self) -> str:
        lines = [self.message, *(f"  - {problem}" for problem in self.problems)]
        return "\n".join([*lines, f"  Next: {self.hint}"] if self.hint else lines)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.__dict__.copy())

    def to_dict(self) -> dict[str, Any]:
        """The error as JSON data, for ``--json`` and for logs."""
        public = {key: value for key, value in self.__dict__.items() if value not in ("", ()) and value is not None}
        if self.problems:
            public["problems"] = [problem._asdict() for problem in self.problems]
        return {"error": type(self).__name__, **public}


def _rebuild(kind: type[FtsdkError], attributes: Mapping[str, Any]) -> FtsdkError:
    error = kind.__new__(kind, attributes.get("message", ""))
    error.__dict__.update(attributes)
    return error


class InputError(FtsdkError, ValueError):
    """What the user wrote cannot be used; nothing has been started or spent."""


class SpecError(InputError):
    """The job spec is wrong: an unknown key, a bad value, two fields that contradict each other."""


class UnsupportedSpec(SpecError):
    """The spec is valid, but this backend cannot honour every field that was set.

    Args:
        backend: The backend that was asked.
        problems: One for each refused field, with the reason.
        backends_that_can: Installed backends that can run this spec.
    """

    def __init__(self, backend: str, problems: Iterable[Problem], *, backends_that_can: Iterable[str] = ()) -> None:
        can = tuple(backends_that_can)
        hint = "change the fields above" + (f", or use a backend that can: {', '.join(can)}" if can else "")
        super().__init__(f"the backend {backend!r} cannot run this spec", hint=hint, problems=problems)
        self.backend = backend
        self.backends_that_can = can


class DataError(InputError):
    """The dataset cannot be used; each problem names file and line."""


class ConfigError(InputError):
    """ftsdk.toml, pyproject.toml or an environment variable is wrong."""


class BackendError(FtsdkError):
    """A backend, or the system behind it, could not do what was requested."""


class BackendNotFound(BackendError, LookupError):
    """No installed backend has this name."""


class MissingExtra(BackendError, ImportError):
    """A package that the backend needs is not installed.

    Args:
        backend: The backend, which is also the name of the extra.
        missing: The module that could not be imported.
    """

    def __init__(self, backend: str, missing: str) -> None:
        super().__init__(
            f"the backend {backend!r} needs the package {missing!r}, which is not installed",
            hint=f"pip install 'ftsdk[{backend}]'",
        )
        self.backend = backend
        self.missing = missing


class AuthError(BackendError):
    """A key is missing, wrong, or lacks a right."""


class RejectedError(BackendError):
    """The system refused the request: nothing was created, and sending it again would not help.

    Args:
        message: The system's message, without secrets.
        reason: One of the closed list of reasons (``ftsdk.Reason``), as its value.
        hint: The next step.
    """

    def __init__(self, message: str, *, reason: str = "provider_error", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class AmbiguousError(BackendError):
    """No certain answer came: a job may or may not exist. Find out before creating another one."""


class UnreachableError(BackendError):
    """The system cannot be asked at the moment; nothing is concluded about its jobs."""


class StoreError(FtsdkError):
    """The durable job records cannot be read or written."""


class JobNotFound(StoreError, LookupError):
    """No job is known by this reference."""


class KeyMismatch(StoreError):
    """The submit key was used before, for another spec."""


class StoreBusy(StoreError):
    """Another process held the job records for too long."""


class JobError(FtsdkError):
    """A job did not succeed.

    Args:
        message: What happened.
        ref: The job's reference.
        hint: The next step.
    """

    def __init__(self, message: str, *, ref: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.ref = ref


class JobFailed(JobError):
    """The job failed.

    Args:
        message: What happened.
        ref: The job's reference.
        reason: One of the closed list of reasons (``ftsdk.Reason``), as its value.
        evidence: The line of log that shows it.
        hint: The smallest change that helps.
    """

    def __init__(self, message: str, *, ref: str = "", reason: str = "", evidence: str = "", hint: str = "") -> None:
        super().__init__(message, ref=ref, hint=hint)
        self.reason = reason
        self.evidence = evidence


class JobCancelled(JobError):
    """The job was cancelled."""


class JobNotReady(JobError):
    """The verb needs the job in another state, for example a fetch before the end."""


class WaitTimeout(JobError, TimeoutError):
    """The timeout of ``wait`` passed; the job continues."""


class ArtifactError(FtsdkError):
    """What was fetched is damaged, unsafe, or not what the job made; the target folder is as it was."""
