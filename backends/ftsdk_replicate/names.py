"""Names that trainers have for the fields of a spec. Exact names only: a guess costs money and changes nothing.

Replicate drops inputs that a trainer does not know without a word, so nothing is sent that its schema does not name.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from ftsdk_replicate.schema import TrainerInput

NAMES: Mapping[str, tuple[str, ...]] = {
    "model": ("base_model", "base_model_name", "model_name", "model_id", "hf_model_id"),
    "model_revision": ("model_revision", "base_model_revision"),
    "method.type": ("method", "objective", "training_method"),
    "method.beta": ("beta", "dpo_beta"),
    "method.loss_type": ("dpo_loss_type", "loss_type"),
    "method.train_on": ("train_on",),
    "adapter.r": ("lora_rank", "lora_r"),
    "adapter.alpha": ("lora_alpha",),
    "adapter.dropout": ("lora_dropout",),
    "adapter.target_modules": ("lora_target_modules", "target_modules"),
    "adapter.use_dora": ("use_dora",),
    "adapter.use_rslora": ("use_rslora",),
    "training.num_train_epochs": ("num_train_epochs", "num_epochs", "n_epochs", "epochs"),
    "training.max_steps": ("max_steps", "max_train_steps"),
    "training.learning_rate": ("learning_rate", "lr"),
    "training.lr_scheduler_type": ("lr_scheduler_type", "lr_scheduler"),
    "training.warmup_ratio": ("warmup_ratio",),
    "training.warmup_steps": ("warmup_steps", "lr_warmup_steps"),
    "training.global_batch_size": ("global_batch_size",),
    "training.max_length": ("max_length", "max_seq_length", "max_seq_len"),
    "training.packing": ("packing", "pack_sequences"),
    "training.optim": ("optim", "optimizer"),
    "training.weight_decay": ("weight_decay",),
    "training.max_grad_norm": ("max_grad_norm",),
    "training.seed": ("seed", "random_seed"),
    "training.neftune_noise_alpha": ("neftune_noise_alpha",),
    "training.logging_steps": ("logging_steps",),
    "training.save_steps": ("save_steps",),
    "training.eval_steps": ("eval_steps",),
    "compute.per_device_train_batch_size": ("per_device_train_batch_size",),
    "compute.quantization": ("quantization",),
    "compute.dtype": ("dtype", "torch_dtype"),
    "compute.gradient_checkpointing": ("gradient_checkpointing",),
}
"""From a field of the spec to its names, which mean the same in every trainer."""


class NameMeaning(NamedTuple):
    """One meaning of an ambiguous name; the input's description decides."""

    field: str
    words: re.Pattern[str]


_GLOBAL = NameMeaning("training.global_batch_size", re.compile(r"\bglobal\b", re.IGNORECASE))
_PER_DEVICE = NameMeaning(
    "compute.per_device_train_batch_size", re.compile(r"\bper[ -](gpu|device)\b|\bmicro", re.IGNORECASE)
)
AMBIGUOUS_NAMES: Mapping[str, tuple[NameMeaning, ...]] = {
    "train_batch_size": (_GLOBAL, _PER_DEVICE),
    "batch_size": (_GLOBAL, _PER_DEVICE),
    "micro_batch_size": (_PER_DEVICE,),
}

DATA = ("train_data", "training_data", "train_dataset", "dataset", "data")
"""Names of the input that takes the address of the rows."""

HELD_OUT = ("eval_data", "validation_data", "val_data", "eval_dataset")
"""Names of the input that takes the address of held-out rows."""

NEVER = frozenset({"fake_output", "local_model_path"})
"""Inputs that are for a trainer's own tests."""

ACCUMULATION = "gradient_accumulation_steps"
RUN_VALIDATION = "run_validation"
VALIDATION_ROWS = "num_validation_samples"


def field_of(input_: TrainerInput) -> str | None:
    """The field of a spec that an input certainly means; None where that is unclear."""
    exact = next((field for field, names in NAMES.items() if input_.name in names), None)
    if exact:
        return exact
    fields = [
        meaning.field for meaning in AMBIGUOUS_NAMES.get(input_.name, ()) if meaning.words.search(input_.description)
    ]
    return fields[0] if len(fields) == 1 else None
