"""Read, recognise, check and convert training rows."""

from ftsdk.data.check import Row, check, rows
from ftsdk.data.formats import TAKES
from ftsdk.data.paths import is_local
from ftsdk.data.report import DataReport

__all__ = ["TAKES", "DataReport", "Row", "check", "is_local", "rows"]
