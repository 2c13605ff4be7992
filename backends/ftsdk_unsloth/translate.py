"""Translate a spec into Unsloth's calls and TRL's arguments. Pure except that it reads the model's config file."""

from types import MappingProxyType
from typing import Any

from ftsdk.backend import Plan, PlanNote
from ftsdk.engines import fields
from ftsdk.engines.fields import OUTPUT, split_batch
from ftsdk.engines.plan import EngineRequest, plan_of
from ftsdk.huggingface.revisions import Pins, pinned_commits
from ftsdk.spec import JobSpec
from ftsdk.translation.ledger import Ledger
from ftsdk.translation.model_config import max_positions
from ftsdk.workers.hardware import Machine
from ftsdk_unsloth.engine import BACKEND_DEFAULTS, IGNORED_ADVICE, REQUIRED_VALUES, UnslothOptions

NAME = "unsloth"

METHODS: dict[str, dict[str, str]] = {
    "sft": {},
    "dpo": {"method.beta": "beta", "method.label_smoothing": "label_smoothing"},
    "kto": {
        "method.beta": "beta",
        "method.desirable_weight": "desirable_weight",
        "method.undesirable_weight": "undesirable_weight",
    },
    "orpo": {"method.beta": "beta"},
    "reward_modeling": {"method.center_rewards_coefficient": "center_rewards_coefficient"},
}
"""From a method to its fields that are sent as they are."""

_REFERENCE = {"precompute_ref_log_probs": False, "sync_ref_model": False}
FIXED: dict[str, dict[str, Any]] = {
    "sft": {"loss_type": "nll", "packing": False, "eval_packing": False, "padding_free": False},
    "dpo": {"disable_dropout": False, "padding_free": False, **_REFERENCE},
    "kto": {"disable_dropout": False, "loss_type": "kto", **_REFERENCE},
    "orpo": {"disable_dropout": False, "generate_during_eval": False},
    "reward_modeling": {"disable_dropout": False},
}
"""From a method to settings that TRL would otherwise choose itself."""

DIRECT_FIELDS = {
    "training.learning_rate": "learning_rate",
    "training.lr_scheduler_type": "lr_scheduler_type",
    "training.num_train_epochs": "num_train_epochs",
    "training.max_length": "max_length",
    "training.adam_beta1": "adam_beta1",
    "training.adam_beta2": "adam_beta2",
    "training.adam_epsilon": "adam_epsilon",
    "training.weight_decay": "weight_decay",
    "training.max_grad_norm": "max_grad_norm",
    "training.seed": "seed",
    "training.logging_steps": "logging_steps",
    "training.save_total_limit": "save_total_limit",
    "training.neftune_noise_alpha": "neftune_noise_alpha",
}
"""Fields that are sent as they are."""

ADAPTER = {
    "adapter.r": "r",
    "adapter.dropout": "lora_dropout",
    "adapter.use_dora": "use_dora",
    "adapter.use_rslora": "use_rslora",
}
INITS = {"default": True, "gaussian": "gaussian"}
_WHOLE_LAYERS = frozenset({"embed_tokens", "lm_head"})

QUANTIZATIONS = {"nf4": "load_in_4bit", "int8": "load_in_8bit"}

ON_CPU = {"adamw_torch": "adamw_torch_fused", "adafactor": "adafactor", "sgd": "sgd"}
"""The optimizers that Unsloth keeps on a CPU, by the names that it gives them."""

COMMAND = "UNSLOTH_DISABLE_STATISTICS=1 HF_HUB_OFFLINE=1 PYTHONPATH=tools python -P -m ftsdk_unsloth.train job.json"
"""The training by hand, in the job's folder of the engine."""

VARIABLES = {
    "UNSLOTH_DISABLE_STATISTICS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "UNSLOTH_USE_MODELSCOPE": "0",
    "UNSLOTH_DISABLE_AUTO_PADDING_FREE": "1",
    "UNSLOTH_COMPILE_LOCATION": "unsloth_compiled_cache",
    "TRITON_CACHE_DIR": "triton_cache",
    "TORCHINDUCTOR_CACHE_DIR": "inductor_cache",
    "TRL_EXPERIMENTAL_SILENCE": "1",
}
"""Switch off telemetry, and keep every cache in the job's folder."""


def plan(
    spec: JobSpec,
    options: UnslothOptions,
    machine: Machine,
    version: str,
    pins: Pins = MappingProxyType({}),
) -> Plan:
    """Unsloth's request for a spec, and the accounting of each field.

    Args:
        spec: The spec.
        options: The options of this backend.
        machine: The machine that it runs on.
        version: Unsloth's version.
        pins: The Hub's commits of the names in the spec.

    Raises:
        UnsupportedSpec: With every field that Unsloth does not support.
    """
    ledger = Ledger(NAME, spec)
    commits = pinned_commits(ledger, pins)
    if spec.method.type not in METHODS:
        ledger.refuse("method", f"this backend does not do {spec.method.type}", ", ".join(METHODS))
    model = fields.resolve_model(ledger, commits.get("model"), "from_pretrained.model_name")
    if (positions := max_positions(*model)) and spec.training.max_length > positions:
        ledger.refuse(
            "training.max_length", f"the model has {positions} positions, which Unsloth would stretch", f"{positions}"
        )
    precision = _precision(ledger, machine)
    config = _config(ledger, options, machine, model.name, precision)
    _refuse(ledger)
    native = EngineRequest(
        engine=f"unsloth {version}",
        config=config,
        environment=VARIABLES | ({} if machine.cuda else {"UNSLOTH_FORCE_CPU": "1"}),
        command=COMMAND,
        rows=config["arguments"]["per_device_train_batch_size"],
        halves=any(precision.values()),
    )
    return plan_of(ledger, native, model, machine, pins)


def _config(
    ledger: Ledger, options: UnslothOptions, machine: Machine, model: str, precision: dict[str, bool]
) -> dict[str, Any]:
    """The arguments of each call."""
    recomputed = _recomputed(ledger, options)
    return {
        "method": ledger.spec.method.type,
        "from_pretrained": _from_pretrained(ledger, machine, model, precision, recomputed),
        "get_peft_model": _get_peft_model(ledger, recomputed),
        "arguments": {
            "output_dir": OUTPUT,
            **_method(ledger),
            **{native: ledger.use(field, f"arguments.{native}") for field, native in DIRECT_FIELDS.items()},
            "max_steps": ledger.use("training.max_steps") or -1,
            "warmup_steps": fields.warmup_steps(ledger),
            "data_seed": ledger.value("training.seed"),
            "optim": _optim(ledger, machine),
            **_cadence(ledger),
            **_batch(ledger),
            **precision,
            "gradient_checkpointing": bool(recomputed),
            **_ALWAYS,
        },
        "early_stopping": _early_stopping(ledger),
        "tokens": "tokens",
        "tokenizer": "tokenizer",
    }


_ALWAYS = {
    "train_sampling_strategy": "random",
    "dataloader_drop_last": False,
    "dataloader_num_workers": 0,
    "remove_unused_columns": False,
    "logging_nan_inf_filter": False,
    "disable_tqdm": True,
    "report_to": "none",
    "push_to_hub": False,
}
"""What is the same in every job: each row is trained on as it is, and nothing is uploaded."""


def _precision(ledger: Ledger, machine: Machine) -> dict[str, bool]:
    precision = fields.precision(ledger, machine, "Unsloth")
    if machine.cuda and not any(precision.values()):
        ledger.refuse("compute.dtype", "Unsloth trains in 16 bits on GPUs, whatever the setting", "auto")
    return precision


def _recomputed(ledger: Ledger, options: UnslothOptions) -> bool | str:
    """Unsloth's ``use_gradient_checkpointing``: its own way, PyTorch's, or none."""
    if ledger.use("compute.gradient_checkpointing", "use_gradient_checkpointing") is False:
        return False
    return "unsloth" if options.gradient_checkpointing == "unsloth" else True


def _from_pretrained(
    ledger: Ledger, machine: Machine, model: str, precision: dict[str, bool], recomputed: bool | str
) -> dict[str, Any]:
    """Arguments of ``FastLanguageModel.from_pretrained``."""
    full = ledger.spec.adapter is None
    return {
        "model_name": model,
        "max_seq_length": ledger.value("training.max_length"),
        "dtype": "bfloat16" if precision["bf16"] else "float16" if precision["fp16"] else "float32",
        **_quantization(ledger, machine),
        "full_finetuning": full,
        "trust_remote_code": ledger.use("trust_remote_code"),
        "use_exact_model_name": True,
        "use_gradient_checkpointing": recomputed,
        **({"float32_mixed_precision": True} if full and machine.cuda else {}),
        **_attention(ledger, machine),
    }


def _quantization(ledger: Ledger, machine: Machine) -> dict[str, bool]:
    quantization = ledger.use("compute.quantization", "load_in_4bit, load_in_8bit")
    if quantization != "nf4" or ledger.value("compute.double_quantization"):
        ledger.use("compute.double_quantization", "load_in_4bit")
    if quantization == "fp4":
        ledger.refuse("compute.quantization", "4 bits of Unsloth's are nf4", "nf4")
    if quantization == "int8" and not machine.cuda:
        ledger.refuse("compute.quantization", "Unsloth holds a base in 8 bits on GPUs only", "nf4")
    return {native: quantization == name for name, native in QUANTIZATIONS.items()}


def _attention(ledger: Ledger, machine: Machine) -> dict[str, str]:
    """A card's is Unsloth's own, but for reward models, which Transformers loads."""
    if machine.cuda and ledger.spec.method.type != "reward_modeling":
        return {}
    attention = fields.attention(ledger, machine, "attn_implementation")
    return {} if attention == "auto" else {"attn_implementation": attention}


def _get_peft_model(ledger: Ledger, recomputed: bool | str) -> dict[str, Any] | None:
    """Arguments of ``FastLanguageModel.get_peft_model``."""
    if ledger.use("adapter", "get_peft_model") is None:
        return None
    modules = ledger.use("adapter.target_modules", "target_modules")
    if not isinstance(modules, str) and _WHOLE_LAYERS & set(modules):
        reason = "Unsloth trains these layers in full where they are named, and puts no adapter on them"
        ledger.refuse("adapter.target_modules", reason, f"leave out {', '.join(sorted(_WHOLE_LAYERS & set(modules)))}")
    start, alpha = ledger.use("adapter.init", "init_lora_weights"), ledger.use("adapter.alpha", "lora_alpha")
    if start not in INITS:
        reason = f"{start} changes the base's weights, so the adapter would fit no base but that"
        ledger.refuse("adapter.init", reason, ", ".join(INITS))
    return {
        **{native: ledger.use(field, native) for field, native in ADAPTER.items()},
        "lora_alpha": int(alpha) if float(alpha).is_integer() else alpha,
        "target_modules": modules if isinstance(modules, str) else list(modules),
        "bias": "none",
        "init_lora_weights": INITS.get(start),
        "random_state": ledger.value("training.seed"),
        "use_gradient_checkpointing": recomputed,
    }


def _method(ledger: Ledger) -> dict[str, Any]:
    ledger.use("method", "the trainer's class")
    ledger.use("method.type", "the trainer's class")
    method = ledger.spec.method.type
    arguments = {native: ledger.use(field, native) for field, native in METHODS.get(method, {}).items()}
    if method == "sft":
        ledger.use("method.train_on", "the labels of the rows")
    if method == "dpo":
        loss = ledger.use("method.loss_type", "loss_type")
        arguments["loss_type"] = [loss]
        if arguments["label_smoothing"] and loss != "sigmoid":
            ledger.refuse("method.label_smoothing", "is defined for the sigmoid loss", "leave it out")
    if method in BACKEND_DEFAULTS:
        ledger.backend_defaults.append(PlanNote(*BACKEND_DEFAULTS[method]))
    return {**arguments, **FIXED.get(method, {})}


def _optim(ledger: Ledger, machine: Machine) -> str | None:
    optimizer: str = ledger.use("training.optim", "optim")
    if machine.cuda:
        return optimizer
    if optimizer not in ON_CPU:
        ledger.refuse("training.optim", "runs on GPUs only", ", ".join(ON_CPU))
    return ON_CPU.get(optimizer)


def _cadence(ledger: Ledger) -> dict[str, Any]:
    """When to save and to evaluate; early stopping needs a checkpoint of every evaluation."""
    arguments = fields.cadence(ledger)
    if ledger.spec.training.early_stopping_patience is None:
        return arguments
    if ledger.is_set("training.save_steps"):
        reason = "early stopping saves at each evaluation"
        ledger.refuse("training.save_steps", reason, "leave it out, and set training.eval_steps")
    saved = {name.replace("eval", "save"): value for name, value in arguments.items() if name.startswith("eval")}
    best = {"load_best_model_at_end": True, "metric_for_best_model": "eval_loss", "greater_is_better": False}
    return {**arguments, **saved, **best, "restore_callback_states_from_checkpoint": True}


def _early_stopping(ledger: Ledger) -> dict[str, Any]:
    """Arguments of Transformers' ``EarlyStoppingCallback``, which there is where there is patience."""
    names = ("early_stopping_patience", "early_stopping_threshold")
    return {name: ledger.use(f"training.{name}", f"early_stopping.{name}") for name in names}


def _batch(ledger: Ledger) -> dict[str, int]:
    """Rows at a time; KTO compares those of a batch with one another, so it needs two of them."""
    size, accumulation = "per_device_train_batch_size", "gradient_accumulation_steps"
    sizes = split_batch(ledger, size, accumulation)
    if ledger.spec.method.type != "kto":
        return {**sizes, "per_device_eval_batch_size": 1}
    step_rows: int = ledger.value("training.global_batch_size")
    if sizes[size] == 1 and ledger.value("compute.per_device_train_batch_size") != 1 and step_rows > 1:
        rows = next(rows for rows in range(2, step_rows + 1) if step_rows % rows == 0)
        sizes = {size: rows, accumulation: step_rows // rows}
    if sizes[size] == 1:
        field = "training.global_batch_size" if step_rows == 1 else f"compute.{size}"
        ledger.refuse(field, "KTO needs two rows at a time", "2 or more")
    return {**sizes, "per_device_eval_batch_size": sizes[size]}


def _refuse(ledger: Ledger) -> None:
    """Refuse or ignore what Unsloth does not support, from the tables."""
    ledger.require_values(REQUIRED_VALUES)
    fields.refuse_common_fields(ledger, "Unsloth")
    ledger.ignore_advice(IGNORED_ADVICE, "Unsloth has no setting for it")
