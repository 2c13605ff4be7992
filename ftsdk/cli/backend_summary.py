"""What an installed backend supports, and why it may not be usable on this machine."""

from typing import TYPE_CHECKING, Any, NamedTuple

from ftsdk.errors import BackendNotFound, FtsdkError, Problem

if TYPE_CHECKING:
    from ftsdk.backend import Capabilities


class BackendSummary(NamedTuple):
    """One backend as it is on this machine."""

    backend: str
    problems: tuple[Problem, ...]
    """Why it is not usable; empty: it is usable."""
    capabilities: "Capabilities | None"
    """None where the backend cannot be loaded."""
    about: str = ""
    """How it describes itself: versions, folders."""

    def to_dict(self) -> dict[str, Any]:
        """The summary as JSON data, with lists in a fixed order."""
        capabilities = self.capabilities.model_dump() if self.capabilities else None
        return {
            "backend": self.backend,
            "usable": not self.problems,
            "about": self.about,
            "problems": [problem._asdict() for problem in self.problems],
            "capabilities": capabilities and {name: _sorted(value) for name, value in capabilities.items()},
        }


def _sorted(value: Any) -> Any:
    return sorted(value) if isinstance(value, frozenset) else value


def summarize_backend(name: str) -> BackendSummary:
    """Ask one backend; one that cannot be loaded has one problem, with its fix.

    Raises:
        BackendNotFound: No installed backend has this name.
    """
    from ftsdk.registry import load_backend  # noqa: PLC0415 - loads the contract, which help does not need

    try:
        backend = load_backend(name)
        return BackendSummary(name, tuple(backend.check()), backend.capabilities(), backend.describe())
    except BackendNotFound:
        raise
    except FtsdkError as error:
        return BackendSummary(name, (Problem(name, error.message, error.hint),), None)
