"""The installed backends by name; one is imported only when it is asked for."""

from ftsdk.backend import Backend
from ftsdk.plugins import BACKENDS, TESTING_BACKEND, check_plugin, load_plugin, plugin_names


def backend_names() -> list[str]:
    """The names of all installed backends, ftsdk's own and others, sorted; nothing is imported."""
    return plugin_names(BACKENDS)


def listed_backend_names(requested: str | None = None) -> list[str]:
    """The backends that lists and messages for users name: the testing backend only where it was requested."""
    return [name for name in backend_names() if name != TESTING_BACKEND or name == requested]


def load_backend(name: str) -> Backend:
    """Import one backend and make it.

    Raises:
        BackendNotFound: No distribution registers the name; the installed names are listed.
        ConfigError: Two do, or it is no backend.
        MissingExtra: A package that it needs is not installed.
    """
    return check_plugin(load_plugin(BACKENDS, name)(), Backend, BACKENDS, name)  # type: ignore[type-abstract]
