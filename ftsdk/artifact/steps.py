"""What can be done with an artifact on this machine: loaded by name from the entry points ``ftsdk.steps``.

The core holds no model in its memory; a step does, and it comes with the packages that it needs.
"""

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

from ftsdk.errors import MissingExtra

GROUP = "ftsdk.steps"


def step(name: str, extra: str = "local") -> Callable[..., Any]:
    """The step of a name.

    Args:
        name: ``load`` and the like; see the entry points in pyproject.toml.
        extra: Of ftsdk, which brings what it needs.

    Raises:
        MissingExtra: The packages that it needs are not installed.
    """
    entries = entry_points(group=GROUP, name=name)
    if not entries:
        raise MissingExtra(extra, "ftsdk_local")
    try:
        found: Callable[..., Any] = next(iter(entries)).load()
    except ModuleNotFoundError as error:
        raise MissingExtra(extra, error.name or str(error)) from error
    return found
