"""Deprecated: the base of importers is in :mod:`ftsdk.importers.importer`."""

import sys

from ftsdk.deprecation import MovedModule

sys.modules[__name__] = MovedModule(
    __name__,
    "ftsdk.importers.importer",
    {"Note": "ImportNote", "Refusal": "UnsupportedKey", "Sheet": "ConfigReader", "Unequal": "UnsupportedValue"},
)
