"""Every field of a spec with a value that is not its default, so that a backend can be tested with each."""

from collections.abc import Mapping
from typing import Any, NamedTuple, get_args

from ftsdk.spec import ADVICE, JobSpec
from ftsdk.spec.dataset import Format

_REQUIRED = frozenset({"model", "dataset.path", "eval_dataset.path", "method.reward"})


class SpecCase(NamedTuple):
    """One field, set."""

    field: str
    """Dotted, such as ``training.packing``."""
    value: Any
    needs: Mapping[str, Any] = {}
    """Other fields that must be set for this one to mean something."""
    drops: tuple[str, ...] = ()
    """Fields that would contradict it."""
    pair: Mapping[str, Any] = {}
    """Fields that are set together with it, or not at all."""

    @property
    def name(self) -> str:
        """The field, with the type of method where it belongs to one."""
        kind = self.needs.get("method", {}).get("type", "")
        return f"{self.field}[{kind}]" if kind else self.field

    @property
    def is_advice(self) -> bool:
        """Whether it is about the machine, not about what is learned."""
        return self.field.split(".")[0] in ADVICE

    def contrast(self, spec: JobSpec) -> tuple[JobSpec, JobSpec]:
        """The spec without the field and with it, otherwise the same."""
        fields = spec.as_written()
        for field, value in self.needs.items():
            _put(fields, field, value)
        for field in self.drops if self.field in _REQUIRED else (*self.drops, self.field, *self.pair):
            _drop(fields, field)
        without = JobSpec.model_validate(fields)
        for field, value in (*self.pair.items(), (self.field, self.value)):
            _put(fields, field, value)
        return without, JobSpec.model_validate(fields)


METHODS: Mapping[str, Mapping[str, Any]] = {
    "sft": {"train_on": "all"},
    "dpo": {"beta": 0.3, "loss_type": "ipo", "label_smoothing": 0.1},
    "kto": {"beta": 0.3, "desirable_weight": 1.5, "undesirable_weight": 1.5},
    "orpo": {"beta": 0.3},
    "reward_modeling": {"center_rewards_coefficient": 0.01},
    "ppo": {
        "reward": "another/reward", "kl_coef": 0.2, "kl_estimator": "k3", "target_kl": 6.0, "num_ppo_epochs": 2,
        "num_mini_batches": 2, "max_new_tokens": 17, "temperature": 0.7, "cliprange": 0.1, "cliprange_value": 0.1,
        "vf_coef": 0.5, "gamma": 0.9, "lam": 0.8, "whiten_rewards": True, "missing_eos_penalty": 2.0,
    },
    "grpo": {
        "reward": "another/reward", "num_generations": 4, "beta": 0.1, "epsilon": 0.1, "max_new_tokens": 17,
        "temperature": 0.7,
    },
}  # fmt: skip
"""For each type of method, all of its fields."""

ADAPTERS: Mapping[str, Any] = {
    "full": None,
    "lora": {"r": 8},
    "dora": {"r": 8, "use_dora": True},
    "rslora": {"r": 8, "use_rslora": True},
}
"""For each sort of adapter, a spec's ``adapter``."""

FORMATS = tuple(kind for kind in get_args(Format) if kind != "auto")
"""All formats of rows, but ``auto``."""

QUANTIZATIONS = ("nf4", "fp4", "int8")
"""All quantizations of a frozen base."""

_DATASET = {
    "path": "other.jsonl",
    "split": "test",
    "revision": "0123abc",
    "format": "text",
    "columns": {"text": "body"},
    "max_samples": 7,
    "chat_template": "template.jinja",
}

_FIELDS: Mapping[str, Any] = {
    "model": "another/model",
    "model_revision": "0123abc",
    **{f"dataset.{name}": value for name, value in _DATASET.items()},
    "adapter.r": 3,
    "adapter.alpha": 7.0,
    "adapter.dropout": 0.15,
    "adapter.target_modules": ["q_proj"],
    "adapter.use_dora": True,
    "adapter.use_rslora": True,
    "adapter.init": "gaussian",
    "training.learning_rate": 3e-5,
    "training.lr_scheduler_type": "linear",
    "training.max_length": 333,
    "training.packing": True,
    "training.optim": "adafactor",
    "training.adam_beta1": 0.8,
    "training.adam_beta2": 0.95,
    "training.adam_epsilon": 1e-6,
    "training.weight_decay": 0.1,
    "training.max_grad_norm": 0.5,
    "training.seed": 7,
    "training.neftune_noise_alpha": 5.0,
    "training.quantization_aware": "int8",
    "training.logging_steps": 3,
    "training.save_steps": 5,
    "training.save_total_limit": 4,
    "training.early_stopping_threshold": 0.01,
    "compute.dtype": "float32",
    "compute.per_device_train_batch_size": 1,
    "compute.gradient_checkpointing": True,
    "compute.attention": "eager",
    "compute.memory_limit": "12GiB",
    "compute.devices": 2,
    "compute.nodes": 2,
    "compute.timeout": "2h",
    "report_to": ["tensorboard"],
    "trust_remote_code": True,
}
"""Fields that can be set alone."""

_HELD_OUT = {"val_size": 0.5}
_HELD_OUT_FILE = {"eval_dataset": {"path": "held-out.jsonl"}}
_ADAPTER = {"adapter": {"r": 8}}


def method_of(kind: str) -> dict[str, Any]:
    """A spec's ``method`` of a type, with only its required fields."""
    return {"type": kind, "reward": "org/reward"} if "reward" in METHODS[kind] else {"type": kind}


CASES: tuple[SpecCase, ...] = (
    *(SpecCase(field, value) for field, value in _FIELDS.items()),
    *(SpecCase(f"eval_dataset.{name}", value, _HELD_OUT_FILE, ("val_size",)) for name, value in _DATASET.items()),
    SpecCase("val_size", 0.25, drops=("eval_dataset",)),
    SpecCase("training.num_train_epochs", 1.5, drops=("training.max_steps",)),
    SpecCase("training.max_steps", 9, drops=("training.num_train_epochs",)),
    SpecCase("training.warmup_ratio", 0.2, drops=("training.warmup_steps",)),
    SpecCase("training.warmup_steps", 3, drops=("training.warmup_ratio",)),
    SpecCase("training.global_batch_size", 6, drops=("compute.per_device_train_batch_size",)),
    SpecCase("training.eval_steps", 5, _HELD_OUT, ("eval_dataset",)),
    SpecCase("training.early_stopping_patience", 2, _HELD_OUT, ("eval_dataset",)),
    SpecCase("compute.quantization", "nf4", _ADAPTER),
    SpecCase("compute.double_quantization", False, {**_ADAPTER, "compute.quantization": "nf4"}),
    SpecCase("push_to_hub", True, pair={"hub_model_id": "org/name"}),
    SpecCase("hub_model_id", "org/name", pair={"push_to_hub": True}),
    *(
        SpecCase(f"method.{name}", value, {"method": method_of(kind)})
        for kind, fields in METHODS.items()
        for name, value in fields.items()
    ),
)
"""Each field of a spec once, except the bookkeeping; fields of methods once for each method."""


def _put(fields: dict[str, Any], field: str, value: Any) -> None:
    *sections, last = field.split(".")
    for section in sections:
        fields[section] = dict(fields.get(section) or {})
        fields = fields[section]
    fields[last] = value


def _drop(fields: dict[str, Any], field: str) -> None:
    *sections, last = field.split(".")
    for section in sections:
        fields = fields.get(section) or {}
    fields.pop(last, None)
