"""Translate a spec into LLaMA-Factory's own YAML. Pure but for reading the model's config file."""

from types import MappingProxyType
from typing import Any

from ftsdk.backend import Plan
from ftsdk.kit.batches import cut_batch
from ftsdk.kit.engines import fields
from ftsdk.kit.engines.fields import OUTPUT
from ftsdk.kit.hardware import Machine
from ftsdk.kit.hub.pins import Pins, revisions, warnings
from ftsdk.kit.ledger import Ledger
from ftsdk.spec import DPO, SFT, JobSpec
from ftsdk_llamafactory.gaps import ADVICE, ONLY, OWN
from ftsdk_llamafactory.options import LlamaFactoryOptions

NAME = "llamafactory"

STAGES = {"sft": "sft", "dpo": "dpo", "orpo": "dpo"}
"""From a method to LLaMA-Factory's stage."""

SENT = {
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
    """LLaMA-Factory's request for a spec, and what becomes of each field.

    Args:
        spec: What the user means.
        options: What LLaMA-Factory alone has.
        machine: What it runs on.
        version: LLaMA-Factory's.
        pins: What the Hub says of the names in the spec.

    Raises:
        UnsupportedSpec: With every field that LLaMA-Factory cannot honour.
    """
    ledger = Ledger(NAME, spec)
    method, commits = spec.method.type, revisions(ledger, pins)
    if method not in STAGES:
        ledger.refuse("method", f"this backend does not do {method} yet", ", ".join(STAGES))
    model = fields.model_of(ledger, commits.get("model"), "model_name_or_path")
    config = {
        "model_name_or_path": model.name,
        "trust_remote_code": ledger.take("trust_remote_code"),
        "stage": STAGES.get(method, method),
        "do_train": True,
        **_method(ledger),
        **_adapter(ledger),
        **_quantization(ledger),
        **_fixed(options),
        **{native: ledger.take(field, native) for field, native in SENT.items()},
        "max_steps": ledger.take("training.max_steps") or -1,
        "warmup_steps": fields.warmup_steps(ledger),
        "data_seed": ledger.value("training.seed"),
        **_cadence(ledger),
        **cut_batch(ledger, "per_device_train_batch_size", "gradient_accumulation_steps"),
        **fields.precision(ledger, machine, "LLaMA-Factory"),
        "use_cpu": not machine.cuda,
        "disable_gradient_checkpointing": ledger.take("compute.gradient_checkpointing") is False,
        "flash_attn": ATTENTION[fields.attention(ledger, machine, "flash_attn")],
    }
    if neftune := ledger.take("training.neftune_noise_alpha"):
        config["neftune_noise_alpha"] = neftune
    _refuse(ledger)
    ledger.close()
    return Plan(
        backend=NAME,
        spec=spec,
        native={
            "engine": f"llamafactory {version}",
            "config": config,
            "environment": ENVIRONMENT,
            "task": fields.task_of(ledger, commits, model),
        },
        honoured=ledger.honoured,
        set_aside=tuple(ledger.set_aside),
        backends_own=tuple(ledger.own),
        command="PYTHONPATH=stand-ins llamafactory-cli train job.yaml",
        price=0.0,
        warnings=tuple(warnings(pins)),
    )


ENVIRONMENT = {"DO_NOT_TRACK": "1", "USE_MODELSCOPE_HUB": "0", "USE_OPENMIND_HUB": "0", "FORCE_TORCHRUN": "0"}
"""One process; models from nowhere but the place that the plan names."""


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


def _method(ledger: Ledger) -> dict[str, Any]:
    ledger.take("method", "stage")
    ledger.take("method.type", "stage")
    method = ledger.spec.method
    if isinstance(method, SFT):
        ledger.take("method.train_on", "the labels of the rows")
        return {}
    if isinstance(method, DPO):
        smoothing = ledger.take("method.label_smoothing", "dpo_label_smoothing")
        loss = ledger.take("method.loss_type", "pref_loss")
        if smoothing and loss != "sigmoid":
            ledger.refuse("method.label_smoothing", "is defined for the sigmoid loss", "leave it out")
        beta = ledger.take("method.beta", "pref_beta")
        return {"pref_beta": beta, "pref_loss": loss, "dpo_label_smoothing": smoothing, "pref_ftx": 0.0}
    if method.type == "orpo":
        return {"pref_beta": ledger.take("method.beta", "pref_beta"), "pref_loss": "orpo", "pref_ftx": 0.0}
    return {}


def _adapter(ledger: Ledger) -> dict[str, Any]:
    if ledger.take("adapter", "finetuning_type") is None:
        return {"finetuning_type": "full", "pure_bf16": False}
    modules = ledger.take("adapter.target_modules", "lora_target")
    return {
        "finetuning_type": "lora",
        **{native: ledger.take(field, native) for field, native in ADAPTER.items()},
        "lora_alpha": fields.whole_alpha(ledger, "lora_alpha", "LLaMA-Factory"),
        "lora_target": "all" if modules == "all-linear" else modules if isinstance(modules, str) else ",".join(modules),
    }


def _quantization(ledger: Ledger) -> dict[str, Any]:
    wanted, doubled = ledger.take("compute.quantization"), ledger.take("compute.double_quantization")
    if wanted is None:
        return {}
    if ledger.value("adapter.use_dora"):
        ledger.refuse(
            "adapter.use_dora", "LLaMA-Factory does no DoRA on a quantized base", "compute.quantization: none"
        )
    return {**QUANTIZATIONS[wanted], "quantization_method": "bnb", "double_quantization": doubled}


def _cadence(ledger: Ledger) -> dict[str, Any]:
    told = fields.cadence(ledger)
    return {**told, "eval_dataset": "held", "per_device_eval_batch_size": 1} if fields.holds_out(ledger) else told


def _refuse(ledger: Ledger) -> None:
    """All that LLaMA-Factory cannot be told, from the tables."""
    ledger.hold_to(ONLY)
    ledger.withhold(OWN)
    fields.refuse_the_usual(ledger, "LLaMA-Factory")
    ledger.set_advice_aside(ADVICE, "LLaMA-Factory has no setting for it")
