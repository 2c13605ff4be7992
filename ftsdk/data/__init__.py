"""Read, recognise, check and convert training rows."""

from ftsdk.data.check import Row, check, rows
from ftsdk.data.places import is_local
from ftsdk.data.report import DataReport
from ftsdk.data.strict import BadRow

__all__ = ["BadRow", "DataReport", "Row", "check", "is_local", "rows"]
