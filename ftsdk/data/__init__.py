"""Read, recognise, check and convert training rows.

A row's way from its file to the loss::

    Line           (data.read)        one JSON object, with its file and line
    CanonicalRow   (data.schema)      under our keys, in one format for all rows: {"messages": [...]}
    Row            (data.check)       the same with its place: what ``rows`` gives to backends and trainings
    (ids, labels)  (data.row_labels)  its tokens; the label is the token where it carries loss, else -100
    Example        (modeling.batches) the two as arrays, cut at ``max_length``
    Unit           (modeling.batches) what a loss compares: one Example, or the two of a Pair
    Bin            (modeling.batches) the Units of a step laid end to end, without padding -> loss (modeling.losses)
"""

from ftsdk.data.check import MOST_PROBLEMS, Row, check, rows
from ftsdk.data.formats import TAKES
from ftsdk.data.paths import is_local
from ftsdk.data.report import DataReport

__all__ = ["MOST_PROBLEMS", "TAKES", "DataReport", "Row", "check", "is_local", "rows"]
