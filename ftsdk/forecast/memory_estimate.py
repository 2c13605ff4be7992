"""The forecast in a plan: its parts and its inputs, or the reason why there is none."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import ConfigDict, Field

from ftsdk.forecast.architecture import Architecture
from ftsdk.forecast.memory import MemoryForecast, forecast, row_tokens
from ftsdk.forecast.trainer_profile import TrainerProfile
from ftsdk.spec import JobSpec
from ftsdk.spec.base import Section


class MemoryInputs(Section):
    """The inputs of a forecast, by which other settings can be forecast, too."""

    # Plans are stored with these inputs. The aliases are the keys in all stored plans, so they never change.
    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    architecture: Architecture = Field(validation_alias="shape", serialization_alias="shape")
    """Of the base model."""
    trainer: TrainerProfile = Field(validation_alias="computing", serialization_alias="computing")
    """How the trainer computes."""
    rows: int
    """Of one micro-batch; a pair counts once."""

    def forecast(self, spec: JobSpec) -> MemoryForecast:
        """Bytes at the peak of a spec, which may be another than the plan's."""
        return forecast(spec, self.architecture, self.trainer, tokens=self.rows * row_tokens(spec))

    def replace(self, *, rows: int | None = None, **profile: Any) -> "MemoryInputs":
        """A copy with other rows at a time, or with changes to the trainer's profile."""
        changes = {"trainer": self.trainer.model_copy(update=profile)}
        return self.model_copy(update=changes if rows is None else {**changes, "rows": rows})


class MemoryEstimate(NamedTuple):
    """A plan's statement about memory."""

    memory: MemoryForecast | None = None
    inputs: MemoryInputs | None = None
    reason: str = ""
    """Why there is no forecast."""

    @property
    def fields(self) -> dict[str, Any]:
        """As fields of a plan."""
        return {"memory": self.memory, "basis": self.inputs, "not_forecast": self.reason}


def estimate_memory(
    spec: JobSpec,
    config: Mapping[str, Any] | None,
    trainer: TrainerProfile,
    *,
    rows: int,
    architecture: Architecture | None = None,
) -> MemoryEstimate:
    """The forecast for a model by its configuration.

    Args:
        spec: What to train.
        config: The model's ``config.json``, or None where it is not at hand.
        trainer: How the trainer computes.
        rows: Of one micro-batch.
        architecture: The model's, where it is known already.
    """
    if config is None:
        return MemoryEstimate(reason=f"the configuration of {spec.model} is not on this machine")
    architecture = architecture or Architecture.from_config(config)
    if architecture is None:
        model_type = config.get("model_type")
        reason = f"how many weights a model of the type {model_type!r} has is not known from this configuration"
        return MemoryEstimate(reason=reason)
    inputs = MemoryInputs(architecture=architecture, trainer=trainer, rows=rows)
    return MemoryEstimate(inputs.forecast(spec), inputs)
