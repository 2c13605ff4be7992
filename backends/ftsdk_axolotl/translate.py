"""Translate a spec into Axolotl's own YAML. Pure except that it reads the model's config file."""

from types import MappingProxyType
from typing import Any

from ftsdk.backend import Plan
from ftsdk.engines import fields
from ftsdk.engines.fields import OUTPUT, split_batch
from ftsdk.engines.plan import EngineRequest, plan_of
from ftsdk.huggingface.revisions import Pins, pinned_commits
from ftsdk.spec import DPO, KTO, ORPO, JobSpec, RewardModeling
from ftsdk.translation.ledger import Ledger
from ftsdk.workers.hardware import Machine
from ftsdk_axolotl.engine import IGNORED_ADVICE, REQUIRED_VALUES, AxolotlOptions

NAME = "axolotl"

METHODS: dict[str, dict[str, Any]] = {
    "sft": {},
    "dpo": {"rl": "dpo", "trainer_cls": "ftsdk_axolotl.trainers.DPO"},
    "kto": {"rl": "kto", "trainer_cls": "ftsdk_axolotl.trainers.KTO"},
    "orpo": {"rl": "orpo", "trainer_cls": "ftsdk_axolotl.trainers.ORPO"},
    "reward_modeling": {
        "reward_model": True,
        "type_of_model": "AutoModelForSequenceClassification",
        "num_labels": 1,
    },
}
"""From a method to Axolotl's keys. The trainers are Axolotl's own, changed to take tokens."""

DIRECT_FIELDS = {
    "training.learning_rate": "learning_rate",
    "training.lr_scheduler_type": "lr_scheduler",
    "training.num_train_epochs": "num_epochs",
    "training.max_length": "sequence_len",
    "training.optim": "optimizer",
    "training.adam_beta1": "adam_beta1",
    "training.adam_beta2": "adam_beta2",
    "training.adam_epsilon": "adam_epsilon",
    "training.weight_decay": "weight_decay",
    "training.max_grad_norm": "max_grad_norm",
    "training.seed": "seed",
    "training.logging_steps": "logging_steps",
    "training.save_total_limit": "save_total_limit",
}
"""Fields that are sent as they are."""

OPTIONAL_FIELDS = {
    "training.max_steps": "max_steps",
    "training.neftune_noise_alpha": "neftune_noise_alpha",
}
"""Fields that are sent where they have a value."""

ADAPTER = {
    "adapter.r": "lora_r",
    "adapter.dropout": "lora_dropout",
    "adapter.use_dora": "peft_use_dora",
    "adapter.use_rslora": "peft_use_rslora",
}

QUANTIZATIONS: dict[str, dict[str, Any]] = {
    "nf4": {"adapter": "qlora", "load_in_4bit": True},
    "fp4": {"adapter": "qlora", "load_in_4bit": True},
    "int8": {"adapter": "lora", "load_in_8bit": True},
}

ATTENTION = {"auto": "sdpa", "sdpa": "sdpa", "flash_attention_2": "flash_attention_2", "eager": "eager"}
"""From a spec's attention to Axolotl's ``attn_implementation``."""

VARIABLES = {"AXOLOTL_DO_NOT_TRACK": "1", "DO_NOT_TRACK": "1"}
"""Switch off telemetry."""


def plan(
    spec: JobSpec,
    options: AxolotlOptions,
    machine: Machine,
    version: str,
    pins: Pins = MappingProxyType({}),
) -> Plan:
    """Axolotl's request for a spec, and the accounting of each field.

    Args:
        spec: The spec.
        options: The options of this backend.
        machine: The machine that it runs on.
        version: Axolotl's version.
        pins: The Hub's commits of the names in the spec.

    Raises:
        UnsupportedSpec: With every field that Axolotl does not support.
    """
    ledger = Ledger(NAME, spec)
    method, commits = spec.method.type, pinned_commits(ledger, pins)
    if method not in METHODS:
        ledger.refuse("method", f"this backend does not do {method}", ", ".join(METHODS))
    model = fields.resolve_model(ledger, commits.get("model"), "base_model")
    config = {
        "base_model": model.name,
        "trust_remote_code": ledger.use("trust_remote_code"),
        **_method(ledger),
        **_adapter(ledger, machine),
        **_fixed(machine),
        **{native: ledger.use(field, native) for field, native in DIRECT_FIELDS.items()},
        **{
            native: value
            for field, native in OPTIONAL_FIELDS.items()
            if (value := ledger.use(field, native)) is not None
        },
        **_warmup(ledger),
        **_cadence(ledger),
        **_batch(ledger),
        **fields.precision(ledger, machine, "Axolotl"),
        **_checkpointing(ledger),
        "attn_implementation": _attention(ledger, machine, options),
    }
    ledger.require_values(REQUIRED_VALUES)
    fields.refuse_common_fields(ledger, "Axolotl")
    ledger.ignore_advice(IGNORED_ADVICE, "Axolotl has no setting for it")
    native = EngineRequest(
        engine=f"axolotl {version}",
        config=config,
        environment=VARIABLES,
        command="PYTHONPATH=tools axolotl train job.yaml --launcher python",
        rows=config["micro_batch_size"],
        halves=config["bf16"] or config["fp16"],
        task={"arguments": _arguments(ledger)},
    )
    return plan_of(ledger, native, model, machine, pins)


def _fixed(machine: Machine) -> dict[str, Any]:
    """What is the same in every job: rows come as tokens, all on one device, and nothing is uploaded."""
    return {
        "plugins": ["ftsdk_axolotl.plugin.Plugin"],
        "tokenizer_config": "tokenizer",
        "datasets": [{"path": "tokens/train"}],
        "dataset_num_proc": 1,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": machine.cuda,
        "remove_unused_columns": False,
        "pad_to_sequence_len": False,
        "sample_packing": False,
        "val_set_size": 0.0,
        "output_dir": OUTPUT,
        "auto_resume_from_checkpoints": True,
        "device_map": {"": "cuda:0" if machine.cuda else "cpu"},
        "tf32": False,
        "include_tkps": False,
    }


def _arguments(ledger: Ledger) -> dict[str, Any]:
    """Trainer's arguments that Axolotl has no key for, or changes; our plugin sets them."""
    dropout = {} if ledger.spec.method.type == "sft" else {"disable_dropout": False}
    return {
        "warmup_steps": fields.warmup_steps(ledger),  # Axolotl turns one step into two
        "data_seed": ledger.value("training.seed"),
        "eval_on_start": False,
        "logging_nan_inf_filter": False,
        **dropout,
    }


def _method(ledger: Ledger) -> dict[str, Any]:
    ledger.use("method", "rl")
    ledger.use("method.type", "rl")
    method = ledger.spec.method
    keys = METHODS.get(method.type, {})
    if isinstance(method, DPO):
        smoothing, loss = ledger.use("method.label_smoothing", "dpo_label_smoothing"), method.loss_type
        ledger.use("method.loss_type", "dpo_loss_type")
        if smoothing and loss != "sigmoid":
            ledger.refuse("method.label_smoothing", "is defined for the sigmoid loss", "leave it out")
        beta = ledger.use("method.beta", "rl_beta")
        return {**keys, "rl_beta": beta, "dpo_loss_type": [loss], "dpo_label_smoothing": smoothing}
    if isinstance(method, KTO):
        weights = ("desirable_weight", "undesirable_weight")
        return {
            **keys,
            "rl_beta": ledger.use("method.beta", "rl_beta"),
            **{f"kto_{name}": ledger.use(f"method.{name}", f"kto_{name}") for name in weights},
        }
    if isinstance(method, ORPO):
        return {**keys, "orpo_alpha": ledger.use("method.beta", "orpo_alpha")}
    if isinstance(method, RewardModeling):
        if ledger.value("trust_remote_code"):
            reason = "with it, Axolotl loads no model that gives scores, but one that writes text, and trains that"
            ledger.refuse("trust_remote_code", reason, "a model whose code is in Transformers")
        name = "center_rewards_coefficient"
        return {**keys, name: ledger.use(f"method.{name}", name)}
    if ledger.has("method.train_on"):
        ledger.use("method.train_on", "the labels of the rows")
    return keys


def _adapter(ledger: Ledger, machine: Machine) -> dict[str, Any]:
    if ledger.use("adapter", "adapter") is None:
        return {}
    modules, start = ledger.use("adapter.target_modules", "lora_target_modules"), ledger.use("adapter.init")
    if start not in {"default", "gaussian"}:
        reason = f"{start} changes the base, too, and Axolotl saves the adapter alone"
        ledger.refuse("adapter.init", reason, "default or gaussian")
    return {
        "adapter": "lora",
        **_quantization(ledger, machine),
        **{native: ledger.use(field, native) for field, native in ADAPTER.items()},
        "lora_alpha": fields.integer_alpha(ledger, "lora_alpha", "Axolotl"),
        "lora_target_modules": modules if isinstance(modules, str) else list(modules),
        "peft_init_lora_weights": True if start == "default" else start,
        **dict.fromkeys(("lora_mlp_kernel", "lora_qkv_kernel", "lora_o_kernel"), False),
    }


def _quantization(ledger: Ledger, machine: Machine) -> dict[str, Any]:
    quantization, double = ledger.use("compute.quantization"), ledger.use("compute.double_quantization")
    if quantization is None:
        return {}
    if quantization == "int8":
        if ledger.spec.method.type == "reward_modeling" and not machine.cuda:
            reason = "Axolotl computes int8 in float16, in which the score's head does not train on the CPU"
            ledger.refuse("compute.quantization", reason, "nf4")
        if ledger.value("compute.dtype") == "float32":
            ledger.refuse("compute.dtype", "with int8, Axolotl computes in bfloat16 or float16", "auto")
        return QUANTIZATIONS[quantization]
    kind = {"bnb_4bit_quant_type": quantization, "bnb_4bit_use_double_quant": double}
    return {**QUANTIZATIONS[quantization], "bnb_config_kwargs": kind}


def _warmup(ledger: Ledger) -> dict[str, float]:
    steps, ratio = ledger.use("training.warmup_steps"), ledger.use("training.warmup_ratio")
    return {"warmup_ratio": ratio} if steps is None else {"warmup_steps": steps}


def _cadence(ledger: Ledger) -> dict[str, Any]:
    """When to save, to evaluate, and to stop early, which Axolotl can where it saves whenever it evaluates."""
    keys = fields.cadence(ledger)
    if fields.holds_out(ledger):
        keys["test_datasets"] = [{"path": "tokens/validation"}]
    patience: int | None = ledger.use("training.early_stopping_patience", "early_stopping_patience")
    if patience is None:
        return keys
    evaluation, save = ledger.value("training.eval_steps"), ledger.value("training.save_steps")
    if "rl" in METHODS.get(ledger.spec.method.type, {}):
        ledger.refuse("training.early_stopping_patience", "Axolotl stops early in sft and reward_modeling", "leave out")
    elif evaluation is None or (save or evaluation) % evaluation:
        reason = "Axolotl stops early where training.eval_steps is given and training.save_steps is a multiple of it"
        ledger.refuse("training.early_stopping_patience", reason, "give training.eval_steps alone")
    return {
        **keys,
        "save_steps": save or evaluation,
        "early_stopping_patience": patience,
        "load_best_model_at_end": True,
    }


def _batch(ledger: Ledger) -> dict[str, int]:
    sizes = split_batch(ledger, "micro_batch_size", "gradient_accumulation_steps")
    if ledger.spec.method.type == "kto" and sizes["micro_batch_size"] < 2:
        field = "compute.per_device_train_batch_size"
        ledger.refuse(field, "TRL, which Axolotl uses for KTO, takes no single rows", "2 or more")
    return {**sizes, "eval_batch_size": sizes["micro_batch_size"]}


def _checkpointing(ledger: Ledger) -> dict[str, Any]:
    """Blank: on, because Axolotl makes no forecast of memory."""
    if ledger.use("compute.gradient_checkpointing") is False:
        return {"gradient_checkpointing": False}
    return {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": False}}


def _attention(ledger: Ledger, machine: Machine, options: AxolotlOptions) -> str:
    attention = fields.attention(ledger, machine, "attn_implementation")
    if attention == "flash_attention_2" and machine.cuda and options.python is None:
        fix = "auto, or install flash-attn beside Axolotl into a Python of your own (backend_options.axolotl.python)"
        ledger.refuse("compute.attention", "its environment holds no flash attention", fix)
    return ATTENTION[attention]
