"""Forecast what a job needs before anything is spent, from the model's configuration alone.

:class:`Shape` is the model, :class:`Computing` the trainer, and :func:`forecast` the one formula.
"""

from ftsdk.forecast.architecture import Linear, Shape
from ftsdk.forecast.batch_sizing import length_that_fits, responses_that_fit, rows_that_fit, tokens_that_fit
from ftsdk.forecast.changes import Change, changes_that_fit
from ftsdk.forecast.memory import MOST_RESPONSES, MemoryForecast, forecast, row_tokens
from ftsdk.forecast.memory_estimate import Basis, Outlook, outlook
from ftsdk.forecast.trainer_profile import LOGIT_ROWS, Computing

__all__ = [
    "LOGIT_ROWS",
    "MOST_RESPONSES",
    "Basis",
    "Change",
    "Computing",
    "Linear",
    "MemoryForecast",
    "Outlook",
    "Shape",
    "changes_that_fit",
    "forecast",
    "length_that_fits",
    "outlook",
    "responses_that_fit",
    "row_tokens",
    "rows_that_fit",
    "tokens_that_fit",
]
