"""Deprecated: the types of jobs are in :mod:`ftsdk.job_types`; ``ftsdk.job`` is the function that gives a handle."""

import sys
from types import ModuleType
from typing import Any

from ftsdk.deprecation import MovedModule


class _Package(ModuleType):
    """The package ``ftsdk`` after an import of this module."""

    def __setattr__(self, name: str, value: Any) -> None:
        # The import system binds a submodule to its package once it is loaded, which would hide the function `job`.
        if not isinstance(value, MovedModule):
            super().__setattr__(name, value)


sys.modules["ftsdk"].__class__ = _Package
sys.modules[__name__] = MovedModule(__name__, "ftsdk.job_types")
