"""What other tools call our fields: tables, which the file loader reads and ``explain`` shows.

``FIELDS`` comes from the models. ``RENAMED`` holds the names that mean the same as one of our fields, ``MEANT`` those
whose value says it in another way, ``WORDS`` other words for a value, and ``ASKED`` the names that mean different
things in different tools: they are refused with a question.
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


class Home(NamedTuple):
    """One place where a field is defined."""

    model: type[Section]
    info: FieldInfo


def _fields() -> Iterator[tuple[str, Home]]:
    for section, models in SECTIONS.items():
        for model in models:
            for name, info in model.model_fields.items():
                yield f"{section}.{name}" if section else name, Home(model, info)


FIELDS: dict[str, tuple[Home, ...]] = {}
"""Every dotted field, such as ``training.packing``, with the models that define it: several only under ``method``."""
for _name, _home in _fields():
    FIELDS[_name] = (*FIELDS.get(_name, ()), _home)


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
"""Sections of other tools; what is inside those that lead to no section of ours is read as if it stood at the top."""

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


def _recomputed(*, yes: bool) -> dict[str, Any]:
    return {"compute.gradient_checkpointing": yes}


class Meant(NamedTuple):
    """A name from another tool whose values say what some of our fields say."""

    tools: str
    values: dict[Any, dict[str, Any]]
    """From each value to the fields that it sets. Empty: nothing is to be set. What is not here is refused."""


def _method(**words: str) -> dict[Any, dict[str, Any]]:
    return {word: {"method.type": method} for word, method in words.items()}


_SAME = {name: name for name in ("sft", "dpo", "kto", "orpo", "ppo", "grpo")}
_IPO = {"method.type": "dpo", "method.loss_type": "ipo"}
_ON_PROMPT = {True: {"method.train_on": "all"}, False: {"method.train_on": "assistant"}}

MEANT: dict[str, Meant] = {
    "adapter": Meant("Axolotl", _KINDS),
    "finetuning_type": Meant("LLaMA-Factory", _KINDS),
    "lora": Meant("Together", _USE),
    "peft": Meant("AutoTrain", _USE),
    "use_peft": Meant("TRL, Oumi", _USE),
    "full_finetuning": Meant("Unsloth", {True: _FULL, False: {}}),
    "q_lora": Meant("Oumi", {True: _QLORA, False: {}}),
    "load_in_4bit": Meant("TRL, Axolotl, Unsloth", {True: _NF4, False: {}}),
    "load_in_8bit": Meant("TRL, Axolotl, Unsloth", {True: _INT8, False: {}}),
    "bits": Meant("QLoRA", _BITS),
    "q_lora_bits": Meant("Oumi", _BITS),
    "quantization_bit": Meant("LLaMA-Factory", _BITS),
    "bf16": Meant("TRL, Axolotl, LLaMA-Factory", {True: _dtype("bfloat16"), "auto": _dtype("auto"), False: {}}),
    "fp16": Meant("TRL, Axolotl, LLaMA-Factory", {True: _dtype("float16"), False: {}}),
    "mixed_precision": Meant(
        "AutoTrain", {"bf16": _dtype("bfloat16"), "fp16": _dtype("float16"), "no": _dtype("float32")}
    ),
    "flash_attention": Meant("Axolotl", {True: {"compute.attention": "flash_attention_2"}, False: {}}),
    "use_gradient_checkpointing": Meant(
        "Unsloth", {"unsloth": _recomputed(yes=True), True: _recomputed(yes=True), False: _recomputed(yes=False)}
    ),
    "lora_target_linear": Meant("Axolotl", {True: {"adapter.target_modules": "all-linear"}, False: {}}),
    "train_on_inputs": Meant("Axolotl, Together", _ON_PROMPT),
    "train_on_prompt": Meant("LLaMA-Factory", _ON_PROMPT),
    "mask_history": Meant("LLaMA-Factory", {True: {"method.train_on": "completion"}, False: {}}),
    "assistant_only_loss": Meant("TRL", {True: {"method.train_on": "assistant"}}),
    "completion_only_loss": Meant("TRL", {True: {"method.train_on": "completion"}, False: {"method.train_on": "all"}}),
    "train_on_responses_only": Meant("Unsloth", {True: {"method.train_on": "assistant"}}),
    "stage": Meant("LLaMA-Factory", _method(**_SAME, rm="reward_modeling")),
    "rl": Meant("Axolotl", _method(**_SAME) | {"ipo": _IPO}),
    "trainer": Meant("AutoTrain", _method(**_SAME, reward="reward_modeling")),
    "trainer_type": Meant("Oumi", _method(TRL_SFT="sft", TRL_DPO="dpo", TRL_KTO="kto", TRL_GRPO="grpo")),
    "training_method": Meant("Together", _method(**_SAME)),
}


def targets(name: str) -> list[str]:
    """The fields that a name of ``MEANT`` sets; empty for any other name."""
    values = MEANT[name].values.values() if name in MEANT else ()
    return list(dict.fromkeys(field for meant in values for field in meant))


WORDS: dict[str, dict[Any, Any]] = {
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

LISTS = frozenset({"adapter.target_modules", "report_to"})
"""Fields whose list may be written as one text with commas."""

_BATCH = (
    "it means three things: sequences on one device (compute.per_device_train_batch_size), sequences in each optimizer "
    "step (training.global_batch_size), or packed tokens (training.max_length with training.packing)"
)
_NO_KEYS = "keys belong in the environment, never in a spec"

ASKED = {
    "batch_size": _BATCH,
    "train_batch_size": _BATCH,
    "gradient_accumulation_steps": (
        "the accumulation is found for you: set training.global_batch_size to "
        "per_device_train_batch_size x gradient_accumulation_steps x devices"
    ),
    "gradient_accumulation": "set training.global_batch_size instead; the accumulation is found for you",
    "learning_rate_multiplier": "it multiplies a rate that is not disclosed: set training.learning_rate",
    "bnb_4bit_quant_type": "set compute.quantization to nf4 or fp4",
    "block_size": "it packs as well as cuts: set training.max_length and training.packing",
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


_NOT_ALONE = frozenset({"chat_template", "init", "path", "revision", "type"})  # too general to stand at the top


def _leaves() -> dict[str, str]:
    """From the last part of each dotted field to the field, where only one ends so."""
    homes: dict[str, list[str]] = {}
    for field in FIELDS:
        section, _, leaf = field.rpartition(".")
        if section and leaf not in FIELDS and section != "eval_dataset":
            homes.setdefault(leaf, []).append(field)
    return {leaf: fields[0] for leaf, fields in homes.items() if len(fields) == 1 and leaf not in _NOT_ALONE}


LEAVES = _leaves()
"""Fields that may also be written flat at the top, by their last part: ``learning_rate``, ``r``, ``beta``."""
