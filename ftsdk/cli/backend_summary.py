"""Ask an installed backend what it can do, and what stands in the way of using it here."""

from typing import TYPE_CHECKING, Any, NamedTuple

from ftsdk.errors import BackendNotFound, FtsdkError, Problem

if TYPE_CHECKING:
    from ftsdk.backend import Capabilities


class Survey(NamedTuple):
    """One backend, seen from this machine."""

    backend: str
    problems: tuple[Problem, ...]
    """What stands in the way; empty: usable."""
    capabilities: "Capabilities | None"
    """None where the backend cannot even be loaded."""
    about: str = ""
    """What it says of itself: versions, places."""

    def to_dict(self) -> dict[str, Any]:
        """The survey as JSON data, with lists in a fixed order."""
        found = self.capabilities.model_dump() if self.capabilities else None
        return {
            "backend": self.backend,
            "usable": not self.problems,
            "about": self.about,
            "problems": [problem._asdict() for problem in self.problems],
            "capabilities": found and {name: _in_order(value) for name, value in found.items()},
        }


def _in_order(value: Any) -> Any:
    return sorted(value) if isinstance(value, frozenset) else value


def survey(name: str) -> Survey:
    """Ask one backend; one that cannot be loaded has one problem, which says how to mend that.

    Raises:
        BackendNotFound: No installed backend has this name.
    """
    from ftsdk.plugins import load_backend  # noqa: PLC0415 - loads the contract, which help does not need

    try:
        backend = load_backend(name)
        return Survey(name, tuple(backend.check()), backend.capabilities(), backend.describe())
    except BackendNotFound:
        raise
    except FtsdkError as error:
        return Survey(name, (Problem(name, error.message, error.hint),), None)
