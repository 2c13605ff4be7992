"""Old names, which work for one more release: each use is a warning that has the new name."""

import warnings
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any


class MovedModule(ModuleType):
    """Stands in ``sys.modules`` for a module that is now another one; that one is imported at the first use.

    Args:
        name: The old module.
        target: The new module.
        renamed: From an attribute's old name to its new one: ``name``, or ``module:name`` where it moved elsewhere.
        stand_ins: From an attribute's old name to ``module:name`` of what still behaves in the old way.
    """

    def __init__(
        self,
        name: str,
        target: str,
        renamed: Mapping[str, str] | None = None,
        stand_ins: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(name, f"Deprecated: use :mod:`{target}`.")
        self._target = target
        self._renamed = renamed or {}
        self._stand_ins = stand_ins or {}

    def __getattr__(self, name: str) -> Any:
        # The import system and inspect look for __path__, __file__ and the like: no use of an old name.
        if name.startswith("__"):
            raise AttributeError(name)
        module, _, attribute = self._renamed.get(name, name).rpartition(":")
        replacement = moved(self.__name__, name, f"{module or self._target}:{attribute}", stacklevel=2)
        stand_in = self._stand_ins.get(name)
        return _load(stand_in) if stand_in else replacement


def moved(owner: str, name: str, target: str, *, stacklevel: int = 2) -> Any:
    """What an old name means now.

    Args:
        owner: The module that had it.
        name: The old name.
        target: ``module:name``.
        stacklevel: Frames between this function and the code that uses the old name.

    Raises:
        AttributeError: The new module has no such name.
    """
    replacement = _load(target)
    message = f"{owner}.{name} is deprecated and will be removed in the next release: use {target.replace(':', '.')}"
    warnings.warn(message, DeprecationWarning, stacklevel=stacklevel + 1)
    return replacement


def _load(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)
