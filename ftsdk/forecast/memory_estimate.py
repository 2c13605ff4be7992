"""The forecast that rides in a plan: its parts, what it was made from, or why there is none."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ftsdk.forecast.architecture import Architecture
from ftsdk.forecast.memory import MemoryForecast, forecast, row_tokens
from ftsdk.forecast.trainer_profile import TrainerProfile
from ftsdk.spec import JobSpec
from ftsdk.spec.base import Section


class MemoryInputs(Section):
    """What a forecast was made from, so that other settings can be tried by the same formula."""

    shape: Architecture
    """Of the base model."""
    computing: TrainerProfile
    """How the trainer computes."""
    rows: int
    """Rows at a time; pairs count once."""

    def forecast(self, spec: JobSpec) -> MemoryForecast:
        """Bytes at the peak of a spec, which may be another than the plan's."""
        return forecast(spec, self.shape, self.computing, tokens=self.rows * row_tokens(spec))

    def but(self, *, rows: int | None = None, **computing: Any) -> "MemoryInputs":
        """The same with other rows at a time, or with another way of computing."""
        changes = {"computing": self.computing.model_copy(update=computing)}
        return self.model_copy(update=changes if rows is None else {**changes, "rows": rows})


class MemoryEstimate(NamedTuple):
    """What a plan says about memory."""

    memory: MemoryForecast | None = None
    basis: MemoryInputs | None = None
    why: str = ""
    """Why there is no forecast."""

    @property
    def fields(self) -> dict[str, Any]:
        """By their names in a plan."""
        return {"memory": self.memory, "basis": self.basis, "not_forecast": self.why}


def estimate_memory(
    spec: JobSpec,
    config: Mapping[str, Any] | None,
    computing: TrainerProfile,
    *,
    rows: int,
    shape: Architecture | None = None,
) -> MemoryEstimate:
    """The forecast for a model by its configuration.

    Args:
        spec: What to train.
        config: The model's ``config.json``, or None where it is not at hand.
        computing: How the trainer computes.
        rows: At a time.
        shape: The model's dimensions, where they were found otherwise.
    """
    if config is None:
        return MemoryEstimate(why=f"the configuration of {spec.model} is not on this machine")
    shape = shape or Architecture.from_config(config)
    if shape is None:
        kind = config.get("model_type")
        return MemoryEstimate(
            why=f"how many weights a model of the type {kind!r} has is not known from this configuration"
        )
    basis = MemoryInputs(shape=shape, computing=computing, rows=rows)
    return MemoryEstimate(basis.forecast(spec), basis)
