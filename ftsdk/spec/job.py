"""The job spec: everything a user means by one fine-tuning job."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ftsdk.redact import looks_like_a_secret
from ftsdk.spec.adapter import LoRA
from ftsdk.spec.base import Section
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


def _no_secret(value: Any) -> Any:
    if looks_like_a_secret(value):
        raise ValueError("this looks like a secret; keys belong in the environment, never in a spec")
    return value


class JobSpec(Section):
    """One fine-tuning job, the same for every backend.

    Intent (model, dataset, method, adapter, training) says what is learned; advice (compute) says how it fits the
    machine. Frozen, and complete: every portable field has a value of ours, so no backend's default slips in.
    """

    model: Annotated[str, Field(min_length=1)]
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
    backend_options: dict[str, dict[str, Any]] = {}
    """Settings that one backend alone has, a section for each; all are checked, also of backends not in use."""

    @model_validator(mode="before")
    @classmethod
    def _adapter_none(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("adapter") == "none":
            return {**value, "adapter": None}
        return value

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> "JobSpec":
        for rule, message in _CONTRADICTIONS:
            if rule(self):
                raise ValueError(message)
        _no_secret(self.model_dump(mode="json"))
        return self

    @model_validator(mode="after")
    def _resolve_learning_rate(self) -> "JobSpec":
        if self.training.learning_rate is None:
            rate = LEARNING_RATES[self.method.type] * (1.0 if self.adapter else 0.1)
            resolved = self.training.model_copy()
            resolved.__dict__["learning_rate"] = rate  # not through update=: the field stays unset by the user
            self.__dict__["training"] = resolved
        return self

    def as_written(self) -> dict[str, Any]:
        """The spec as JSON data, with the fields that the user set and no others; reading it gives this spec again."""
        return self.model_dump(mode="json", exclude_unset=True)

    @property
    def learning_rate(self) -> float:
        """The peak learning rate, resolved."""
        assert self.training.learning_rate is not None
        return self.training.learning_rate


_CONTRADICTIONS = (
    (
        lambda s: s.adapter is None and s.compute.quantization is not None,
        (
            "compute.quantization freezes the base in few bits, but adapter is None, so every weight would train: "
            "add an adapter (QLoRA), or drop the quantization"
        ),
    ),
    (lambda s: s.eval_dataset is not None and s.val_size > 0, "eval_dataset and val_size contradict each other"),
    (
        lambda s: s.val_size >= 1 and s.val_size != int(s.val_size),
        "val_size is a share below 1, or a whole number of rows",
    ),
    (
        lambda s: s.training.early_stopping_patience is not None and s.eval_dataset is None and s.val_size == 0,
        "training.early_stopping_patience needs held-out rows: set val_size or eval_dataset",
    ),
    (
        lambda s: s.training.eval_steps is not None and s.eval_dataset is None and s.val_size == 0,
        "training.eval_steps needs held-out rows: set val_size or eval_dataset",
    ),
    (
        lambda s: (
            s.compute.per_device_train_batch_size is not None
            and s.compute.per_device_train_batch_size > s.training.global_batch_size
        ),
        "compute.per_device_train_batch_size is larger than training.global_batch_size",
    ),
    (lambda s: s.push_to_hub and not s.hub_model_id, "push_to_hub needs hub_model_id, the repository to upload to"),
)
