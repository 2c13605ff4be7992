"""What other tools call our fields: tables, which the file loader reads and ``explain`` shows.

``FIELDS`` comes from the models. ``RENAMED`` has the names that mean the same as one of our fields, ``VALUE_ALIASES``
those whose values set some of our fields, ``VALUE_SYNONYMS`` other words for a value, and ``AMBIGUOUS_ALIASES`` the
names that mean different things in different tools: they are refused with a question.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, get_args

from pydantic.fields import FieldInfo

from ftsdk.spec.adapter import LoRA
from ftsdk.spec.base import Section
from ftsdk.spec.compute import Compute
from ftsdk.spec.dataset import Dataset
from ftsdk.spec.job import JobSpec
from ftsdk.spec.method import Method
from ftsdk.spec.training import Training

SECTIONS: dict[str, tuple[type[Section], ...]] = {
    "": (JobSpec,),
    "dataset": (Dataset,),
    "eval_dataset": (Dataset,),
    "method": get_args(get_args(Method)[0]),
    "adapter": (LoRA,),
    "training": (Training,),
    "compute": (Compute,),
}
"""The models that a section may be."""


class FieldDefinition(NamedTuple):
    """One place where a field is defined."""

    model: type[Section]
    info: FieldInfo


def _definitions() -> Iterator[tuple[str, FieldDefinition]]:
    for section, models in SECTIONS.items():
        for model in models:
            for name, info in model.model_fields.items():
                yield f"{section}.{name}" if section else name, FieldDefinition(model, info)


FIELDS: dict[str, tuple[FieldDefinition, ...]] = {}
"""Every dotted field, such as ``training.packing``, with the models that define it: several only under ``method``."""
for _name, _definition in _definitions():
    FIELDS[_name] = (*FIELDS.get(_name, ()), _definition)


class Alias(NamedTuple):
    """A name from another tool."""

    field: str
    tools: str


_TABLE: Mapping[str, Mapping[str, str]] = {
    "model": {
        "base_model": "Axolotl, Fireworks",
        "model_name": "Oumi, Unsloth",
        "model_name_or_path": "TRL, LLaMA-Factory",
    },
    "model_revision": {"revision": "Unsloth", "revision_of_model": "Axolotl"},
    "dataset": {
        "data_path": "AutoTrain",
        "dataset_name": "TRL",
        "datasets": "Axolotl",
        "train_dataset": "TRL",
        "training_file": "OpenAI, Together",
    },
    "dataset.path": {"dataset.data_files": "Axolotl", "dataset.dataset_name": "Oumi", "dataset.name": ""},
    "dataset.format": {"dataset.type": "Axolotl"},
    "dataset.split": {"dataset_train_split": "TRL", "train_split": "AutoTrain"},
    "eval_dataset": {
        "evaluation_dataset": "Fireworks",
        "test_datasets": "Axolotl",
        "validation_file": "OpenAI, Together",
    },
    "eval_dataset.path": {"eval_dataset.dataset_name": "Oumi", "eval_dataset.name": ""},
    "eval_dataset.format": {"eval_dataset.type": "Axolotl"},
    "val_size": {"val_set_size": "Axolotl"},
    "method.beta": {"dpo_beta": "AutoTrain, Together", "pref_beta": "LLaMA-Factory", "rl_beta": "Axolotl"},
    "method.loss_type": {"pref_loss": "LLaMA-Factory"},
    "adapter.r": {
        "adapter.rank": "",
        "lora_r": "TRL, Axolotl, Oumi, AutoTrain, Together",
        "lora_rank": "LLaMA-Factory, torchtune, Fireworks",
    },
    "adapter.alpha": {"lora_alpha": "TRL, PEFT, Axolotl, LLaMA-Factory, Oumi, Unsloth, AutoTrain, torchtune, Together"},
    "adapter.dropout": {"lora_dropout": "TRL, PEFT, Axolotl, LLaMA-Factory, Oumi, Unsloth, AutoTrain, Together"},
    "adapter.target_modules": {
        "lora_target": "LLaMA-Factory",
        "lora_target_modules": "TRL, Axolotl, Oumi",
        "lora_trainable_modules": "Together",
    },
    "adapter.use_dora": {"peft_use_dora": "Axolotl"},
    "adapter.use_rslora": {"peft_use_rslora": "Axolotl"},
    "training.num_train_epochs": {
        "epochs": "AutoTrain, torchtune, Fireworks",
        "n_epochs": "OpenAI, Together",
        "num_epochs": "Axolotl",
    },
    "training.learning_rate": {"lr": "AutoTrain, torchtune"},
    "training.lr_scheduler_type": {"lr_scheduler": "Axolotl", "scheduler": "AutoTrain"},
    "training.warmup_steps": {"learning_rate_warmup_steps": "Fireworks", "num_warmup_steps": "torchtune"},
    "training.global_batch_size": {"batch_size_samples": "Fireworks"},
    "training.max_length": {
        "cutoff_len": "LLaMA-Factory",
        "max_context_length": "Fireworks",
        "max_seq_len": "torchtune",
        "max_seq_length": "Unsloth, TRL",
        "model_max_length": "Oumi, AutoTrain",
        "sequence_len": "Axolotl",
    },
    "training.packing": {"packed": "torchtune", "sample_packing": "Axolotl"},
    "training.optim": {"optimizer": "Axolotl, Oumi, AutoTrain"},
    "training.weight_decay": {"optimizer_weight_decay": "Fireworks"},
    "training.max_grad_norm": {"clip_grad_norm": "torchtune", "gradient_clipping": "DeepSpeed"},
    "training.seed": {"random_state": "Unsloth"},
    "training.logging_steps": {"log_every_n_steps": "torchtune"},
    "compute.double_quantization": {
        "bnb_4bit_use_double_quant": "Transformers",
        "double_quant": "",
        "use_bnb_nested_quant": "TRL",
    },
    "compute.dtype": {"torch_dtype": "Transformers", "torch_dtype_str": "Oumi"},
    "compute.per_device_train_batch_size": {"micro_batch_size": "Axolotl"},
    "compute.attention": {"attn_implementation": "TRL"},
    "name": {"project_name": "AutoTrain", "run_name": "TRL", "suffix": "OpenAI, Together"},
}

RENAMED = {alias: Alias(field, tools) for field, names in _TABLE.items() for alias, tools in names.items()}
"""Names that take the same values as our field. A dotted one counts only in its section."""

OTHER_SECTIONS = {
    "lora": "adapter",
    "lora_config": "adapter",
    "peft": "adapter",
    "peft_config": "adapter",
    "model": "",
    "hyperparameters": "",
    "training_args": "",
}
"""From sections of other tools to ours; the fields of a section that leads to none are read as top-level fields."""

_LORA: dict[str, Any] = {"adapter": {}}
_FULL: dict[str, Any] = {"adapter": None}
_NF4 = {"compute.quantization": "nf4"}
_INT8 = {"compute.quantization": "int8"}
_QLORA = _LORA | _NF4
_BITS = {4: _NF4, 8: _INT8}
_KINDS = {"lora": _LORA, "qlora": _QLORA, "full": _FULL, "none": _FULL, None: _FULL}
_USE = {True: _LORA, False: _FULL}


def _dtype(name: str) -> dict[str, Any]:
    return {"compute.dtype": name}


def _checkpointing(*, enabled: bool) -> dict[str, Any]:
    return {"compute.gradient_checkpointing": enabled}


class ValueAlias(NamedTuple):
    """A name from another tool, each of whose values sets some of our fields."""

    tools: str
    values: dict[Any, dict[str, Any]]
    """From each value to the fields that it sets; empty where it sets none. Any other value is refused."""


def _methods(**types: str) -> dict[Any, dict[str, Any]]:
    return {value: {"method.type": method} for value, method in types.items()}


_SAME = {name: name for name in ("sft", "dpo", "kto", "orpo", "ppo", "grpo")}
_IPO = {"method.type": "dpo", "method.loss_type": "ipo"}
_ON_PROMPT = {True: {"method.train_on": "all"}, False: {"method.train_on": "assistant"}}

VALUE_ALIASES: dict[str, ValueAlias] = {
    "adapter": ValueAlias("Axolotl", _KINDS),
    "finetuning_type": ValueAlias("LLaMA-Factory", _KINDS),
    "lora": ValueAlias("Together", _USE),
    "peft": ValueAlias("AutoTrain", _USE),
    "use_peft": ValueAlias("TRL, Oumi", _USE),
    "full_finetuning": ValueAlias("Unsloth", {True: _FULL, False: {}}),
    "q_lora": ValueAlias("Oumi", {True: _QLORA, False: {}}),
    "load_in_4bit": ValueAlias("TRL, Axolotl, Unsloth", {True: _NF4, False: {}}),
    "load_in_8bit": ValueAlias("TRL, Axolotl, Unsloth", {True: _INT8, False: {}}),
    "bits": ValueAlias("QLoRA", _BITS),
    "q_lora_bits": ValueAlias("Oumi", _BITS),
    "quantization_bit": ValueAlias("LLaMA-Factory", _BITS),
    "bf16": ValueAlias("TRL, Axolotl, LLaMA-Factory", {True: _dtype("bfloat16"), "auto": _dtype("auto"), False: {}}),
    "fp16": ValueAlias("TRL, Axolotl, LLaMA-Factory", {True: _dtype("float16"), False: {}}),
    "mixed_precision": ValueAlias(
        "AutoTrain", {"bf16": _dtype("bfloat16"), "fp16": _dtype("float16"), "no": _dtype("float32")}
    ),
    "flash_attention": ValueAlias("Axolotl", {True: {"compute.attention": "flash_attention_2"}, False: {}}),
    "use_gradient_checkpointing": ValueAlias(
        "Unsloth",
        {
            "unsloth": _checkpointing(enabled=True),
            True: _checkpointing(enabled=True),
            False: _checkpointing(enabled=False),
        },
    ),
    "lora_target_linear": ValueAlias("Axolotl", {True: {"adapter.target_modules": "all-linear"}, False: {}}),
    "train_on_inputs": ValueAlias("Axolotl, Together", _ON_PROMPT),
    "train_on_prompt": ValueAlias("LLaMA-Factory", _ON_PROMPT),
    "mask_history": ValueAlias("LLaMA-Factory", {True: {"method.train_on": "completion"}, False: {}}),
    "assistant_only_loss": ValueAlias("TRL", {True: {"method.train_on": "assistant"}}),
    "completion_only_loss": ValueAlias(
        "TRL", {True: {"method.train_on": "completion"}, False: {"method.train_on": "all"}}
    ),
    "train_on_responses_only": ValueAlias("Unsloth", {True: {"method.train_on": "assistant"}}),
    "stage": ValueAlias("LLaMA-Factory", _methods(**_SAME, rm="reward_modeling")),
    "rl": ValueAlias("Axolotl", _methods(**_SAME) | {"ipo": _IPO}),
    "trainer": ValueAlias("AutoTrain", _methods(**_SAME, reward="reward_modeling")),
    "trainer_type": ValueAlias("Oumi", _methods(TRL_SFT="sft", TRL_DPO="dpo", TRL_KTO="kto", TRL_GRPO="grpo")),
    "training_method": ValueAlias("Together", _methods(**_SAME)),
}


def fields_of_alias(name: str) -> list[str]:
    """The fields that a name in ``VALUE_ALIASES`` sets; empty for any other name."""
    values = VALUE_ALIASES[name].values.values() if name in VALUE_ALIASES else ()
    return list(dict.fromkeys(field for assignments in values for field in assignments))


VALUE_SYNONYMS: dict[str, dict[Any, Any]] = {
    "method.type": {"supervised": "sft", "reward": "reward_modeling", "rm": "reward_modeling"},
    "dataset.format": {"chat_template": "messages", "completion": "text"},
    "adapter.target_modules": {"all": "all-linear"},
    "training.optim": {
        "adamw": "adamw_torch",
        "adamw_bnb_8bit": "adamw_8bit",
        "adamw_torch_fused": "adamw_torch",
        "paged_adamw": "paged_adamw_32bit",
    },
    "compute.quantization": {"int4": "nf4", "4bit": "nf4", "8bit": "int8"},
    "compute.dtype": {
        "bf16": "bfloat16",
        "fp16": "float16",
        "fp32": "float32",
        "torch.bfloat16": "bfloat16",
        "torch.float16": "float16",
    },
    "report_to": {"none": ()},
}
"""Other words for a value."""

COMMA_LISTS = frozenset({"adapter.target_modules", "report_to"})
"""Fields whose list may be written as one text with commas."""

_BATCH = (
    "it has three meanings: sequences on one device (compute.per_device_train_batch_size), sequences in each optimizer "
    "step (training.global_batch_size), or packed tokens (training.max_length with training.packing)"
)
_NO_KEYS = "keys belong in the environment, never in a spec"

AMBIGUOUS_ALIASES = {
    "batch_size": _BATCH,
    "train_batch_size": _BATCH,
    "gradient_accumulation_steps": (
        "ftsdk computes the accumulation: set training.global_batch_size to "
        "per_device_train_batch_size x gradient_accumulation_steps x devices"
    ),
    "gradient_accumulation": "set training.global_batch_size instead; ftsdk computes the accumulation",
    "learning_rate_multiplier": "it multiplies a rate that is not disclosed: set training.learning_rate",
    "bnb_4bit_quant_type": "set compute.quantization to nf4 or fp4",
    "block_size": "it packs rows and truncates them: set training.max_length and training.packing",
    "n_checkpoints": "set training.save_steps, in optimizer steps",
    "saves_per_epoch": "set training.save_steps, in optimizer steps",
    "n_evals": "set training.eval_steps, in optimizer steps",
    "evals_per_epoch": "set training.eval_steps, in optimizer steps; blank is once in each epoch",
    "eval_strategy": "set training.eval_steps; blank is once in each epoch",
    "save_strategy": "set training.save_steps; blank is ten times over the run",
    "output_dir": "name the folder when you fetch: ftsdk fetch JOB FOLDER",
    "resume_from_checkpoint": "resume a job by its reference: ftsdk resume JOB",
    "data": "name the rows in dataset, and the held-out rows in eval_dataset",
    "template": "a chat template is a Jinja file here: dataset.chat_template",
    "chat_template": "a chat template is a Jinja file here: dataset.chat_template",
    "dataset_text_field": 'map the column: dataset.columns: {"text": "..."}',
    "roles_to_train": "set method.train_on to assistant, completion or all",
    "hub_token": _NO_KEYS,
    "token": _NO_KEYS,
    "api_key": _NO_KEYS,
    "wandb_api_key": _NO_KEYS,
}
"""Names that are refused with the reason: their meaning differs between tools, or belongs elsewhere."""


_TOO_GENERAL = frozenset({"chat_template", "init", "path", "revision", "type"})  # unclear outside of their section


def _flat_fields() -> dict[str, str]:
    """From the last part of each dotted field to the field, where only one ends so."""
    owners: dict[str, list[str]] = {}
    for field in FIELDS:
        section, _, leaf = field.rpartition(".")
        if section and leaf not in FIELDS and section != "eval_dataset":
            owners.setdefault(leaf, []).append(field)
    return {leaf: fields[0] for leaf, fields in owners.items() if len(fields) == 1 and leaf not in _TOO_GENERAL}


FLAT_FIELDS = _flat_fields()
"""Fields that may also be written flat at the top, by their last part: ``learning_rate``, ``r``, ``beta``."""
