"""Translate a spec into LLaMA-Factory's own YAML. Pure except that it reads config files of models."""

import json
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ftsdk.artifact.model_files import ADAPTER_CONFIG
from ftsdk.backend import Plan, PlanNote
from ftsdk.engines import fields
from ftsdk.engines.fields import OUTPUT, split_batch
from ftsdk.engines.plan import EngineRequest, plan_of
from ftsdk.engines.runner_support import version_mismatch
from ftsdk.huggingface.revisions import Pins, pinned_commits
from ftsdk.spec import DPO, JobSpec
from ftsdk.spec.method import is_function
from ftsdk.translation.ledger import Ledger
from ftsdk.translation.model_source import config_of, reward_model_folder
from ftsdk.workers.hardware import Machine
from ftsdk_llamafactory import methods
from ftsdk_llamafactory.engine import IGNORED_ADVICE, REQUIRED_VALUES, LlamaFactoryOptions
from ftsdk_llamafactory.methods import ADAPTER_ONLY, METHOD_WARNINGS, STAGES

NAME = "llamafactory"

DIRECT_FIELDS = {
    "training.learning_rate": "learning_rate",
    "training.lr_scheduler_type": "lr_scheduler_type",
    "training.num_train_epochs": "num_train_epochs",
    "training.max_length": "cutoff_len",
    "training.optim": "optim",
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

ADAPTER = {
    "adapter.r": "lora_rank",
    "adapter.dropout": "lora_dropout",
    "adapter.use_dora": "use_dora",
    "adapter.use_rslora": "use_rslora",
}

QUANTIZATIONS: dict[str, dict[str, Any]] = {
    "nf4": {"quantization_bit": 4, "quantization_type": "nf4"},
    "fp4": {"quantization_bit": 4, "quantization_type": "fp4"},
    "int8": {"quantization_bit": 8},
}

ATTENTION = {"auto": "auto", "sdpa": "sdpa", "flash_attention_2": "fa2", "eager": "disabled"}
"""From a spec's attention to LLaMA-Factory's ``flash_attn``."""


def plan(
    spec: JobSpec,
    options: LlamaFactoryOptions,
    machine: Machine,
    version: str,
    pins: Pins = MappingProxyType({}),
) -> Plan:
    """LLaMA-Factory's request for a spec, and the accounting of each field.

    Args:
        spec: The spec.
        options: The options of this backend.
        machine: The machine that it runs on.
        version: LLaMA-Factory's version.
        pins: The Hub's commits of the names in the spec.

    Raises:
        UnsupportedSpec: With every field that LLaMA-Factory does not support.
    """
    ledger = Ledger(NAME, spec)
    method, commits = spec.method.type, pinned_commits(ledger, pins)
    model = fields.resolve_model(ledger, commits.get("model"), "model_name_or_path")
    config = _config(ledger, options, machine, model.name)
    if method == "ppo":
        _check_age(ledger, model)
    reward = _reward(ledger, commits.get("method.reward"))
    _refuse(ledger)
    native = EngineRequest(
        engine=f"llamafactory {version}",
        config=config,
        environment=VARIABLES,
        command="PYTHONPATH=stand-ins llamafactory-cli train job.yaml",
        rows=config["per_device_train_batch_size"],
        halves=config["bf16"] or config["fp16"],
        logit_rows=_LIGER_ROWS if options.enable_liger_kernel else None,
        task={"reward": reward},
        warnings=METHOD_WARNINGS.get(method, ()),
    )
    return plan_of(ledger, native, model, machine, pins)


def _config(ledger: Ledger, options: LlamaFactoryOptions, machine: Machine, model: str) -> dict[str, Any]:
    """LLaMA-Factory's configuration."""
    config = {
        "model_name_or_path": model,
        "trust_remote_code": ledger.use("trust_remote_code"),
        "stage": STAGES.get(ledger.spec.method.type, ""),
        "do_train": True,
        **_method(ledger),
        **_adapter(ledger),
        **_quantization(ledger),
        **_fixed(options),
        **{native: ledger.use(field, native) for field, native in DIRECT_FIELDS.items()},
        "max_steps": ledger.use("training.max_steps") or -1,
        "data_seed": ledger.value("training.seed"),
        **(_cadence_of_ppo(ledger) if ledger.spec.method.type == "ppo" else _cadence(ledger)),
        **split_batch(ledger, "per_device_train_batch_size", "gradient_accumulation_steps"),
        **_precision(ledger, machine),
        "use_cpu": not machine.cuda,
        "disable_gradient_checkpointing": ledger.use("compute.gradient_checkpointing") is False,
        "flash_attn": ATTENTION[fields.attention(ledger, machine, "flash_attn")],
    }
    if neftune := ledger.use("training.neftune_noise_alpha"):
        config["neftune_noise_alpha"] = neftune
    return config


_LIGER_ROWS = 1024  # its chunk is at least as small for vocabularies that are wider than the hidden width
_NEVER = 1_000_000_000  # steps; nothing can continue from PPO's checkpoints

VARIABLES = {"DO_NOT_TRACK": "1", "USE_MODELSCOPE_HUB": "0", "USE_OPENMIND_HUB": "0", "FORCE_TORCHRUN": "0"}
"""One process; models only from where the plan names them."""


def _fixed(options: LlamaFactoryOptions) -> dict[str, Any]:
    """What is the same in every job: rows come as tokens, and nothing is uploaded."""
    return {
        "template": "empty",
        "dataset": "rows",
        "dataset_dir": ".",
        "tokenized_path": "tokens",
        "output_dir": OUTPUT,
        "plot_loss": False,
        "report_to": "none",
        "push_to_hub": False,
        "remove_unused_columns": False,
        "dataloader_num_workers": 0,
        "enable_liger_kernel": options.enable_liger_kernel,
    }


def _config_under(folder: Path) -> dict[str, Any]:
    """The config of the weights that a reward model is based on: an adapter's base, or its own."""
    adapter = folder / ADAPTER_CONFIG
    settings = json.loads(adapter.read_text("utf-8")) if adapter.is_file() else {}
    return config_of(settings.get("base_model_name_or_path", str(folder)), settings.get("revision")) or {}


def _method(ledger: Ledger) -> dict[str, Any]:
    method = ledger.spec.method.type
    for field in ("method", "method.type"):
        ledger.use(field, "stage")
    if method not in STAGES:
        ledger.refuse("method", f"this backend does not do {method}", ", ".join(STAGES))
        return {}
    if method == "sft":
        ledger.use("method.train_on", "the labels of the rows")
    spec = ledger.spec.method
    if isinstance(spec, DPO) and spec.label_smoothing and spec.loss_type != "sigmoid":
        ledger.refuse("method.label_smoothing", "is defined for the sigmoid loss", "leave it out")
    ledger.require_values(methods.REQUIRED_VALUES.get(method, {}))
    settings = {native: ledger.use(f"method.{field}", native) for field, native in methods.OPTIONS[method].items()}
    return {**methods.FIXED.get(method, {}), **settings}


def _check_age(ledger: Ledger, model: fields.ModelReference) -> None:
    """Refuse what the older Transformers of PPO's environment would misread."""
    config = config_of(*model)
    if config and (trouble := version_mismatch(config, methods.PPO_TRANSFORMERS)):
        ledger.refuse("model", trouble, "a copy saved by Transformers 4, or the local backend")


def _reward(ledger: Ledger, commit: str | None) -> dict[str, str | None] | None:
    """PPO's reward model: a folder, or a name and the Hub's commit."""
    if not ledger.has("method.reward"):
        return None
    name: str = ledger.use("method.reward", "reward_model")
    if is_function(name):
        ledger.refuse("method.reward", "LLaMA-Factory's PPO takes a reward model, and no function", "give its artifact")
        return None
    folder = reward_model_folder(ledger, "method.reward", name)
    if folder and (trouble := version_mismatch(_config_under(folder), methods.PPO_TRANSFORMERS)):
        fix = "a reward model on a base that Transformers 4 has saved, or the local backend"
        ledger.refuse("method.reward", trouble, fix)
    return {"name": str(folder or name), "revision": None if folder else commit}


def _adapter(ledger: Ledger) -> dict[str, Any]:
    if ledger.use("adapter", "finetuning_type") is None:
        return {"finetuning_type": "full", "pure_bf16": False}
    modules = ledger.use("adapter.target_modules", "lora_target")
    return {
        "finetuning_type": "lora",
        **{native: ledger.use(field, native) for field, native in ADAPTER.items()},
        "lora_alpha": fields.integer_alpha(ledger, "lora_alpha", "LLaMA-Factory"),
        "lora_target": "all" if modules == "all-linear" else modules if isinstance(modules, str) else ",".join(modules),
    }


def _quantization(ledger: Ledger) -> dict[str, Any]:
    quantization, double = ledger.use("compute.quantization"), ledger.use("compute.double_quantization")
    if quantization is None:
        return {}
    if ledger.value("adapter.use_dora"):
        ledger.refuse(
            "adapter.use_dora", "LLaMA-Factory does not support DoRA on a quantized base", "compute.quantization: none"
        )
    return {**QUANTIZATIONS[quantization], "quantization_method": "bnb", "double_quantization": double}


def _precision(ledger: Ledger, machine: Machine) -> dict[str, bool]:
    """LLaMA-Factory has a setting for two of the precisions, and else computes in that of the model's files."""
    if ledger.value("compute.dtype") == "float32":
        ledger.ignore("compute.dtype", "LLaMA-Factory computes in the precision of the model's files, or in half of it")
        return {"bf16": False, "fp16": False}
    return fields.precision(ledger, machine, "LLaMA-Factory")


def _cadence(ledger: Ledger) -> dict[str, Any]:
    settings = {"warmup_steps": fields.warmup_steps(ledger), **fields.cadence(ledger)}
    return (
        {**settings, "eval_dataset": "held", "per_device_eval_batch_size": 1} if fields.holds_out(ledger) else settings
    )


def _cadence_of_ppo(ledger: Ledger) -> dict[str, Any]:
    """PPO's loop is LLaMA-Factory's own: it takes whole numbers, and evaluates nothing."""
    for field in ("val_size", "eval_dataset", "training.eval_steps"):
        if ledger.use(field):
            ledger.refuse(field, "LLaMA-Factory's PPO evaluates nothing", "leave it out")
    target = ledger.use("method.target_kl", "ppo_target")
    if target is None:
        reason = f"LLaMA-Factory always adapts the coefficient; its target is {methods.TARGET_KL}"
        ledger.backend_defaults.append(PlanNote("method.target_kl", reason))
    return {
        "ppo_target": target or methods.TARGET_KL,
        "warmup_steps": ledger.use("training.warmup_steps") or 0,
        "warmup_ratio": ledger.use("training.warmup_ratio"),
        "save_strategy": "steps",
        "save_steps": ledger.use("training.save_steps") or _NEVER,
        "eval_strategy": "no",
    }


def _refuse(ledger: Ledger) -> None:
    """Refuse or ignore what LLaMA-Factory does not support, from the tables."""
    ledger.require_values(REQUIRED_VALUES)
    if ledger.spec.adapter is None and ledger.spec.method.type in ADAPTER_ONLY:
        ledger.refuse("adapter", ADAPTER_ONLY[ledger.spec.method.type], "an adapter, or the local backend")
    fields.refuse_common_fields(ledger, "LLaMA-Factory")
    ledger.ignore_advice(IGNORED_ADVICE, "LLaMA-Factory has no setting for it")
