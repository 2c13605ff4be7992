"""Load plug-ins by name from entry points: backends, importers and post-training steps. Names cost no import."""

from importlib.metadata import EntryPoint, entry_points
from typing import Any, NamedTuple, TypeVar

from ftsdk.errors import BackendNotFound, ConfigError, FtsdkError, InputError, MissingExtra, nearest

Plugin = TypeVar("Plugin")


class PluginGroup(NamedTuple):
    """One group of entry points."""

    name: str
    """As packages register in it."""
    noun: str
    """What one of them is, for messages."""
    not_found: type[FtsdkError]
    """Raised for a name that no distribution registers."""
    unlisted: frozenset[str] = frozenset()
    """Names that lists for users leave out."""


TESTING_BACKEND = "fake"
"""Ships for tests; it trains nothing."""

BACKENDS = PluginGroup("ftsdk.backends", "backend", BackendNotFound, unlisted=frozenset({TESTING_BACKEND}))
IMPORTERS = PluginGroup("ftsdk.importers", "importer", InputError)
STEPS = PluginGroup("ftsdk.steps", "post-training step", InputError)


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


def check_plugin(plugin: Any, contract: type[Plugin], group: PluginGroup, name: str) -> Plugin:
    """The plug-in, if it is what its group promises.

    Args:
        plugin: What the entry point made.
        contract: The class that all plug-ins of the group derive from.
        group: Where it is registered.
        name: Its name.

    Raises:
        ConfigError: It is something else.
    """
    if not isinstance(plugin, contract):
        message = f"the {group.noun} {name!r} is a {type(plugin).__name__}, which is no {contract.__module__}."
        raise ConfigError(f"{message}{contract.__name__}", hint="uninstall the package that registers it")
    return plugin


def _entry(group: PluginGroup, name: str) -> EntryPoint:
    # One distribution may be listed twice (an editable install over a wheel): only different targets are a conflict.
    entries = {entry.value: entry for entry in entry_points(group=group.name, name=name)}
    if not entries:
        listed = [listed_name for listed_name in plugin_names(group) if listed_name not in group.unlisted]
        raise group.not_found(
            f"no installed {group.noun} is named {name!r}; installed: {', '.join(listed)}",
            hint=nearest(name, plugin_names(group), f"install the package that has the {group.noun}"),
        )
    if len(entries) > 1:
        message = f"two packages register the {group.noun} {name!r}: {', '.join(sorted(entries))}"
        raise ConfigError(message, hint="uninstall one of them")
    return next(iter(entries.values()))
