"""The job spec: everything a user means by one fine-tuning job."""

import json
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, ValidationInfo, field_validator, model_validator

from ftsdk.errors import Problem, SpecError
from ftsdk.redact import looks_like_a_secret
from ftsdk.spec.adapter import LoRA
from ftsdk.spec.base import Place, SpecSection
from ftsdk.spec.compute import Compute
from ftsdk.spec.dataset import Dataset
from ftsdk.spec.method import SFT, Method
from ftsdk.spec.training import Training

ADVICE = frozenset({"compute"})
"""Sections that say how to fit a machine; every other is intent, but for the bookkeeping."""

BOOKKEEPING = frozenset({"name", "metadata", "backend", "backend_options"})
"""Fields that ftsdk itself uses; they change neither the model nor the machine."""

LEARNING_RATES = {
    "sft": 2e-4,
    "reward_modeling": 1e-4,
    "dpo": 5e-6,
    "kto": 5e-6,
    "orpo": 8e-6,
    "ppo": 1e-5,
    "grpo": 1e-5,
}
"""The learning rate where the user left it blank, for an adapter; without one, a tenth of it."""


class JobSpec(SpecSection):
    """One fine-tuning job, the same for every backend.

    Intent (model, dataset, method, adapter, training) says what is learned; advice (compute) says how it fits the
    machine. Frozen, and complete: every portable field has a value of ours, so no backend's default slips in.
    """

    model: Place
    """The base model: a Hub id (``org/name``) or a local folder."""
    model_revision: str | None = None
    """The Hub revision: a branch, a tag or a commit. None: the newest commit, which the plan pins."""
    dataset: Dataset
    """Rows to train on."""
    eval_dataset: Dataset | None = None
    """Rows to hold out for evaluation. Give this or ``val_size``."""
    val_size: Annotated[float, Field(ge=0)] = 0.0
    """Rows to hold out of ``dataset``: a share below 1, or a number of rows. 0: none."""
    method: Method = SFT()
    """How the model learns."""
    adapter: LoRA | None = LoRA()
    """The weights that train. None: every weight of the model."""
    training: Training = Training()
    """How long, how fast, on how much at a time."""
    compute: Compute = Compute()
    """Advice on how to fit the machine."""
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$")] | None = None
    """A name for people, shown in lists."""
    metadata: dict[str, str] = {}
    """Your own labels, kept with the job and in the artifact."""
    report_to: tuple[Literal["tensorboard", "wandb", "mlflow", "trackio"], ...] = ()
    """Experiment trackers to report to; their keys come from the environment."""
    push_to_hub: bool = False
    """Upload the artifact to the Hub when the job has succeeded."""
    hub_model_id: str | None = None
    """The Hub repository to upload to, ``org/name``."""
    trust_remote_code: bool = False
    """Run Python code that comes with the model. Only for models whose code you have read."""
    backend: str | None = None
    """The backend to run on. None: from the environment or the configuration, else ``local``."""
    backend_options: dict[str, dict[str, JsonValue]] = {}
    """Settings that one backend alone has, a section for each; all are checked, also of backends not in use."""

    @field_validator("training")
    @classmethod
    def _resolve_learning_rate(cls, training: Training, info: ValidationInfo) -> Training:
        # info.data has the fields above this one that are valid
        if training.learning_rate is not None or not info.data.keys() >= {"method", "adapter"}:
            return training
        rate = LEARNING_RATES[info.data["method"].type] / (1 if info.data["adapter"] else 10)
        values = {**dict(training), "learning_rate": rate}
        # Not model_copy(update=...): the user did not set the field, and as_written() must not write it.
        return Training.model_construct(_fields_set=training.model_fields_set, **values)

    @model_validator(mode="before")
    @classmethod
    def _adapter_none(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("adapter") == "none":
            return {**value, "adapter": None}
        return value

    @model_validator(mode="after")
    def _refuse_contradictions(self) -> "JobSpec":
        problems = [problem for applies, problem in _CONTRADICTIONS if applies(self)]
        for name, value in self.model_dump(mode="json").items():
            if looks_like_a_secret(value):
                fix = "keep keys in the environment, never in a spec"
                problems.append(Problem(name, "this looks like a secret", fix))
            if _has_lone_surrogate(value):
                message = "contains a lone surrogate (half a character), which no file can hold"
                problems.append(Problem(name, message, "remove it, or read its source as UTF-8"))
        if problems:
            raise SpecError("the spec contradicts itself, or holds a secret", problems=problems)
        return self

    def as_written(self) -> dict[str, Any]:
        """The spec as JSON data, with the fields that the user set and no others; reading it gives this spec again."""
        return self.model_dump(mode="json", exclude_unset=True)

    @property
    def learning_rate(self) -> float:
        """The peak learning rate, resolved."""
        assert self.training.learning_rate is not None
        return self.training.learning_rate


def _has_lone_surrogate(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _holds_out_rows(spec: JobSpec) -> bool:
    return spec.eval_dataset is not None or spec.val_size > 0


_HOLD_OUT = "set val_size or eval_dataset"
_CONTRADICTIONS: tuple[tuple[Callable[[JobSpec], bool], Problem], ...] = (
    (
        lambda spec: spec.adapter is None and spec.compute.quantization is not None,
        Problem(
            "compute.quantization",
            "quantizes the frozen base model, but adapter is none, so every weight would train",
            "add an adapter (QLoRA), or drop the quantization",
        ),
    ),
    (
        lambda spec: spec.eval_dataset is not None and spec.val_size > 0,
        Problem("val_size", "contradicts eval_dataset", "give one of the two"),
    ),
    (
        lambda spec: spec.val_size >= 1 and not spec.val_size.is_integer(),
        Problem("val_size", "is a share below 1, or a whole number of rows"),
    ),
    (
        lambda spec: spec.training.early_stopping_patience is not None and not _holds_out_rows(spec),
        Problem("training.early_stopping_patience", "needs held-out rows", _HOLD_OUT),
    ),
    (
        lambda spec: spec.training.eval_steps is not None and not _holds_out_rows(spec),
        Problem("training.eval_steps", "needs held-out rows", _HOLD_OUT),
    ),
    (
        lambda spec: (spec.compute.per_device_train_batch_size or 0) > spec.training.global_batch_size,
        Problem("compute.per_device_train_batch_size", "is larger than training.global_batch_size"),
    ),
    (
        lambda spec: spec.push_to_hub and not spec.hub_model_id,
        Problem("push_to_hub", "needs the repository to upload to", "set hub_model_id"),
    ),
    (
        lambda spec: bool(spec.hub_model_id) and not spec.push_to_hub,
        Problem("hub_model_id", "has no effect without push_to_hub", "set push_to_hub: true, or leave it out"),
    ),
)
