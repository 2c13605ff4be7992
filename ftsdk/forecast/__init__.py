"""Forecast a job's memory before it runs, from the model's configuration alone.

:class:`Architecture` describes the model, :class:`TrainerProfile` the trainer, and :func:`forecast` is the formula.
"""

from typing import TYPE_CHECKING, Any

from ftsdk.deprecation import moved
from ftsdk.forecast.architecture import Architecture, Linear
from ftsdk.forecast.batch_sizing import length_that_fits, responses_that_fit, rows_that_fit, tokens_that_fit
from ftsdk.forecast.changes import Change, changes_that_fit
from ftsdk.forecast.memory import MOST_RESPONSES, MemoryForecast, forecast, row_tokens
from ftsdk.forecast.memory_estimate import MemoryEstimate, MemoryInputs, estimate_memory
from ftsdk.forecast.trainer_profile import LOGIT_ROWS, TrainerProfile

__all__ = [
    "LOGIT_ROWS",
    "MOST_RESPONSES",
    "Architecture",
    "Change",
    "Linear",
    "MemoryEstimate",
    "MemoryForecast",
    "MemoryInputs",
    "TrainerProfile",
    "changes_that_fit",
    "estimate_memory",
    "forecast",
    "length_that_fits",
    "responses_that_fit",
    "row_tokens",
    "rows_that_fit",
    "tokens_that_fit",
]

_RENAMED = {
    "Basis": "MemoryInputs",
    "Computing": "TrainerProfile",
    "Outlook": "MemoryEstimate",
    "Shape": "Architecture",
    "outlook": "estimate_memory",
}

if not TYPE_CHECKING:  # type checkers take a module with __getattr__ for one that has every name

    def __getattr__(name: str) -> Any:
        if name not in _RENAMED:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return moved(__name__, name, f"{__name__}:{_RENAMED[name]}")
