"""Load plug-ins by name from entry points: backends, importers and post-training steps. Names cost no import."""

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, NamedTuple

from ftsdk.errors import BackendNotFound, ConfigError, FtsdkError, InputError, MissingExtra, nearest

if TYPE_CHECKING:
    from ftsdk.backend import Backend
    from ftsdk.importers.importer import Importer


class PluginGroup(NamedTuple):
    """One group of entry points."""

    name: str
    """As packages register in it."""
    noun: str
    """What one of them is, for messages."""
    not_found: type[FtsdkError]
    """Raised for a name that nobody registers."""


BACKENDS = PluginGroup("ftsdk.backends", "backend", BackendNotFound)
IMPORTERS = PluginGroup("ftsdk.importers", "importer", InputError)
STEPS = PluginGroup("ftsdk.steps", "post-training step", InputError)

TESTING_BACKEND = "fake"
"""Ships for tests; it trains nothing, so lists for users leave it out."""


def plugin_names(group: PluginGroup) -> list[str]:
    """The registered names, sorted; nothing is imported."""
    return sorted({entry.name for entry in entry_points(group=group.name)})


def load_plugin(group: PluginGroup, name: str, extra: str | None = None) -> Any:
    """Import what one entry point names.

    Args:
        group: Where it is registered.
        name: Its name.
        extra: The extra of ftsdk with the packages that it needs; its own name where None.

    Raises:
        FtsdkError: The group's ``not_found``: no distribution registers the name; the registered names are listed.
        ConfigError: Two distributions register it.
        MissingExtra: A package that it needs is not installed.
    """
    entry = _entry(group, name)
    try:
        return entry.load()
    except ModuleNotFoundError as error:
        raise MissingExtra(extra or name, error.name or str(error)) from error


def backend_names() -> list[str]:
    """The names of all installed backends, ftsdk's own and others, sorted; nothing is imported."""
    return plugin_names(BACKENDS)


def listed_backend_names(requested: str | None = None) -> list[str]:
    """The backends that lists and messages for users name: the testing backend only where it was requested."""
    return [name for name in backend_names() if name != TESTING_BACKEND or name == requested]


def load_backend(name: str) -> "Backend":
    """Import one backend and make it.

    Raises:
        BackendNotFound: No distribution registers the name.
        ConfigError: Two do, or it is no backend.
        MissingExtra: A package that it needs is not installed.
    """
    from ftsdk.backend import Backend  # noqa: PLC0415 - the contract lies above this file, which only checks against it

    backend: Backend = _checked(load_plugin(BACKENDS, name)(), Backend, BACKENDS, name)
    return backend


def load_importer(name: str) -> "Importer":
    """Import one importer and make it.

    Raises:
        InputError: No distribution registers the name.
        ConfigError: Two do, or it is no importer.
    """
    from ftsdk.importers.importer import Importer  # noqa: PLC0415 - as for a backend

    importer: Importer = _checked(load_plugin(IMPORTERS, name)(), Importer, IMPORTERS, name)
    return importer


def load_step(name: str, extra: str = "local") -> Callable[..., Any]:
    """The function of a post-training step, such as ``merge``.

    Args:
        name: Its entry point.
        extra: The extra of ftsdk with the packages that it needs.

    Raises:
        ConfigError: Two distributions register it.
        MissingExtra: The packages that it needs are not installed.
    """
    step: Callable[..., Any] = load_plugin(STEPS, name, extra)
    return step


def _entry(group: PluginGroup, name: str) -> EntryPoint:
    # One distribution may be listed twice (an editable install over a wheel): only different targets are a conflict.
    entries = {entry.value: entry for entry in entry_points(group=group.name, name=name)}
    if not entries:
        listed = listed_backend_names() if group == BACKENDS else plugin_names(group)
        raise group.not_found(
            f"no installed {group.noun} is named {name!r}; installed: {', '.join(listed)}",
            hint=nearest(name, plugin_names(group), f"install the package that has the {group.noun}"),
        )
    if len(entries) > 1:
        message = f"two packages register the {group.noun} {name!r}: {', '.join(sorted(entries))}"
        raise ConfigError(message, hint="uninstall one of them")
    return next(iter(entries.values()))


def _checked(plugin: Any, contract: type, group: PluginGroup, name: str) -> Any:
    if not isinstance(plugin, contract):
        message = f"the {group.noun} {name!r} is a {type(plugin).__name__}, which is no {contract.__module__}."
        raise ConfigError(f"{message}{contract.__name__}", hint="uninstall the package that registers it")
    return plugin
