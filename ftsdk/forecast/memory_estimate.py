"""The forecast that rides in a plan: its parts, what it was made from, or why there is none."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ftsdk.forecast.architecture import Shape
from ftsdk.forecast.memory import MemoryForecast, forecast, row_tokens
from ftsdk.forecast.trainer_profile import Computing
from ftsdk.spec import JobSpec
from ftsdk.spec.base import Section


class Basis(Section):
    """What a forecast was made from, so that other settings can be tried by the same formula."""

    shape: Shape
    """Of the base model."""
    computing: Computing
    """How the trainer computes."""
    rows: int
    """Rows at a time; pairs count once."""

    def forecast(self, spec: JobSpec) -> MemoryForecast:
        """Bytes at the peak of a spec, which may be another than the plan's."""
        return forecast(spec, self.shape, self.computing, tokens=self.rows * row_tokens(spec))

    def but(self, *, rows: int | None = None, **computing: Any) -> "Basis":
        """The same with other rows at a time, or with another way of computing."""
        changes = {"computing": self.computing.model_copy(update=computing)}
        return self.model_copy(update=changes if rows is None else {**changes, "rows": rows})


class Outlook(NamedTuple):
    """What a plan says about memory."""

    memory: MemoryForecast | None = None
    basis: Basis | None = None
    why: str = ""
    """Why there is no forecast."""

    @property
    def fields(self) -> dict[str, Any]:
        """By their names in a plan."""
        return {"memory": self.memory, "basis": self.basis, "not_forecast": self.why}


def outlook(
    spec: JobSpec, config: Mapping[str, Any] | None, computing: Computing, *, rows: int, shape: Shape | None = None
) -> Outlook:
    """The forecast for a model by its configuration.

    Args:
        spec: What to train.
        config: The model's ``config.json``, or None where it is not at hand.
        computing: How the trainer computes.
        rows: At a time.
        shape: The model's dimensions, where they were found otherwise.
    """
    if config is None:
        return Outlook(why=f"the configuration of {spec.model} is not on this machine")
    shape = shape or Shape.from_config(config)
    if shape is None:
        kind = config.get("model_type")
        return Outlook(why=f"how many weights a model of the type {kind!r} has is not known from this configuration")
    basis = Basis(shape=shape, computing=computing, rows=rows)
    return Outlook(basis.forecast(spec), basis)
