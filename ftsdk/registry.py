"""Find backends by name through entry points; import one only when it is asked for."""

from importlib.metadata import EntryPoint, entry_points

from ftsdk.backend import Backend
from ftsdk.errors import BackendNotFound, ConfigError, MissingExtra, nearest

GROUP = "ftsdk.backends"


def backend_names() -> list[str]:
    """The names of all installed backends, ours and strangers', sorted; nothing is imported."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


def load_backend(name: str) -> Backend:
    """Import one backend and make it.

    Raises:
        BackendNotFound: No distribution registers the name; the installed names are listed.
        ConfigError: Two distributions register it.
        MissingExtra: A package that it needs is not installed.
    """
    entry = _entry(name)
    try:
        kind = entry.load()
    except ModuleNotFoundError as error:
        raise MissingExtra(name, error.name or str(error)) from error
    backend = kind()
    if not isinstance(backend, Backend):
        raise ConfigError(f"the entry point {entry.value!r} of the backend {name!r} is no ftsdk.backend.Backend")
    return backend


def _entry(name: str) -> EntryPoint:
    found = {entry.value: entry for entry in entry_points(group=GROUP, name=name)}
    if not found:
        names = backend_names()
        raise BackendNotFound(
            f"no installed backend is named {name!r}; installed: {', '.join(names)}",
            hint=nearest(name, names, "install the package that brings it"),
        )
    if len(found) > 1:
        raise ConfigError(
            f"two packages register the backend {name!r}: {', '.join(sorted(found))}", hint="uninstall one of them"
        )
    return next(iter(found.values()))
