"""Translate a spec into LLaMA-Factory's own YAML. Pure but for reading the model's config file."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ftsdk.backend import Plan
from ftsdk.data import is_local
from ftsdk.kit.batches import cut_batch
from ftsdk.kit.hardware import Machine
from ftsdk.kit.hub.pins import HUB_ID, Pins, revisions, warnings
from ftsdk.kit.ledger import Ledger
from ftsdk.kit.remote import SCHEMES
from ftsdk.spec import DPO, SFT, Dataset, JobSpec
from ftsdk_llamafactory.gaps import ADVICE, ONLY, OWN
from ftsdk_llamafactory.options import LlamaFactoryOptions

NAME = "llamafactory"
OUTPUT = "out"
"""The folder that LLaMA-Factory writes into."""

STAGES = {"sft": "sft", "dpo": "dpo", "orpo": "dpo"}
"""From a method to LLaMA-Factory's stage."""

_PAIRED = frozenset({"auto", "preference", "sharegpt"})
FORMATS = {
    "sft": frozenset({"auto", "messages", "prompt_completion", "text", "alpaca", "sharegpt"}),
    "dpo": _PAIRED,
    "orpo": _PAIRED,
}
"""From a method to the formats of rows that it learns from."""

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

QUANTIZATIONS: Mapping[str, dict[str, Any]] = {
    "nf4": {"quantization_bit": 4, "quantization_type": "nf4"},
    "fp4": {"quantization_bit": 4, "quantization_type": "fp4"},
    "int8": {"quantization_bit": 8},
}

ATTENTION = {"auto": "auto", "sdpa": "sdpa", "flash_attention_2": "fa2", "eager": "disabled"}
"""From a spec's attention to LLaMA-Factory's ``flash_attn``."""

_TENTH = 0.1  # of all steps, as Transformers reads a share


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
    model, revision = _model(ledger, commits.get("model"))
    config = {
        "model_name_or_path": model,
        "trust_remote_code": ledger.take("trust_remote_code"),
        "stage": STAGES.get(method, method),
        "do_train": True,
        **_method(ledger),
        **_adapter(ledger),
        **_quantization(ledger),
        **_fixed(options),
        **{native: ledger.take(field, native) for field, native in SENT.items()},
        "max_steps": ledger.take("training.max_steps") or -1,
        "warmup_steps": _warmup(ledger),
        "data_seed": ledger.value("training.seed"),
        **_cadence(ledger),
        **cut_batch(ledger, "per_device_train_batch_size", "gradient_accumulation_steps"),
        **_precision(ledger, machine),
        "disable_gradient_checkpointing": ledger.take("compute.gradient_checkpointing") is False,
        "flash_attn": _attention(ledger, machine),
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
            "rows": _rows(spec, commits, revision),
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


def _model(ledger: Ledger, commit: str | None) -> tuple[str, str | None]:
    """The model's folder, or its name and the Hub's commit, which our runner brings."""
    name: str = ledger.take("model", "model_name_or_path")
    given: str | None = ledger.take("model_revision", "the runner's download")
    folder = Path(name).expanduser().absolute()
    if not folder.is_dir():
        if folder.exists() or not HUB_ID.fullmatch(name):
            what = f"there is no folder {folder}, and {name!r} is no Hub id"
            ledger.refuse("model", what, "give a folder or org/name")
        return name, commit or given
    if given is not None:
        ledger.refuse("model_revision", "a folder has no revisions", "leave it out")
    if not (folder / "config.json").is_file():
        ledger.refuse("model", f"the folder {folder} holds no config.json", "give the folder of a whole model")
    return str(folder), None


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
    alpha, modules = ledger.take("adapter.alpha", "lora_alpha"), ledger.take("adapter.target_modules", "lora_target")
    if not float(alpha).is_integer():
        ledger.refuse("adapter.alpha", "LLaMA-Factory takes whole numbers", f"{round(alpha)}")
    return {
        "finetuning_type": "lora",
        **{native: ledger.take(field, native) for field, native in ADAPTER.items()},
        "lora_alpha": int(alpha),
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


def _warmup(ledger: Ledger) -> float:
    """Steps; below 1, Transformers reads a share of all steps."""
    steps, ratio = ledger.take("training.warmup_steps"), ledger.take("training.warmup_ratio", "warmup_steps")
    return float(ratio if steps is None else steps)


def _cadence(ledger: Ledger) -> dict[str, Any]:
    """When to save, and to evaluate where rows are held out."""
    save, each = ledger.take("training.save_steps"), ledger.take("training.eval_steps")
    ledger.take("val_size", "the runner's validation rows")
    ledger.take("eval_dataset", "the runner's validation rows")
    saving = {"save_strategy": "steps", "save_steps": save or _TENTH}
    if not ledger.spec.val_size and ledger.spec.eval_dataset is None:
        return {**saving, "eval_strategy": "no"}
    told = {"eval_strategy": "steps", "eval_steps": each} if each else {"eval_strategy": "epoch"}
    return {**saving, **told, "eval_dataset": "held", "per_device_eval_batch_size": 1}


def _precision(ledger: Ledger, machine: Machine) -> dict[str, bool]:
    """``auto``: bfloat16 on a card, as LLaMA-Factory's own examples have it; none on the CPU."""
    wanted = ledger.take("compute.dtype", "bf16, fp16")
    if wanted == "float16" and not machine.cuda:
        ledger.refuse("compute.dtype", "float16 trains on GPUs only", "auto or float32")
    if wanted == "bfloat16" and not machine.cuda:
        ledger.refuse("compute.dtype", "LLaMA-Factory trains in bfloat16 on GPUs only", "auto or float32")
    bf16 = wanted == "bfloat16" or (wanted == "auto" and machine.cuda)
    return {"bf16": bf16, "fp16": wanted == "float16", "use_cpu": not machine.cuda}


def _attention(ledger: Ledger, machine: Machine) -> str:
    wanted: str = ledger.take("compute.attention", "flash_attn")
    if wanted == "flash_attention_2" and not machine.cuda:
        ledger.refuse("compute.attention", "flash attention runs on GPUs only", "auto")
    return ATTENTION[wanted]


def _refuse(ledger: Ledger) -> None:
    """All that LLaMA-Factory cannot be told, from the tables."""
    spec = ledger.spec
    ledger.hold_to(ONLY)
    ledger.withhold(OWN)
    for field in ("push_to_hub", "hub_model_id"):
        if ledger.take(field):
            ledger.refuse(field, "LLaMA-Factory never uploads by itself here", "push the artifact once it is fetched")
    if spec.training.neftune_noise_alpha is not None and spec.method.type != "sft":
        ledger.refuse("training.neftune_noise_alpha", "noise on the embeddings is for sft", "leave it out")
    ledger.take("compute.timeout", "the worker's deadline")
    ledger.take("dataset", "tokenized_path")
    for field, dataset in (("dataset", spec.dataset), ("eval_dataset", spec.eval_dataset)):
        if dataset is not None:
            _refuse_rows(ledger, field, dataset)
    ledger.set_advice_aside(ADVICE, "LLaMA-Factory has no setting for it")


def _refuse_rows(ledger: Ledger, field: str, dataset: Dataset) -> None:
    takes = FORMATS.get(ledger.spec.method.type)
    if takes and dataset.format not in takes:
        what = f"{ledger.spec.method.type} does not learn from this format"
        ledger.refuse(f"{field}.format", what, ", ".join(sorted(takes)))
    for path in dataset.paths:
        if "://" in path and not path.startswith(SCHEMES):
            ledger.refuse(f"{field}.path", "rows are not taken from there", f"give a file, or {', '.join(SCHEMES)}...")
    if dataset.chat_template and not Path(dataset.chat_template).expanduser().is_file():
        ledger.refuse(f"{field}.chat_template", f"there is no file {dataset.chat_template}", "give a Jinja file")


def _rows(spec: JobSpec, commits: Mapping[str, str], revision: str | None) -> dict[str, Any]:
    """What the runner is told beside LLaMA-Factory's own configuration."""
    return {
        "method": spec.method.type,
        "train_on": spec.method.train_on if isinstance(spec.method, SFT) else "completion",
        "dataset": _here(spec.dataset, commits.get("dataset")),
        "eval_dataset": spec.eval_dataset and _here(spec.eval_dataset, commits.get("eval_dataset")),
        "val_size": spec.val_size,
        "seed": spec.training.seed,
        "model_revision": revision,
    }


def _here(dataset: Dataset, commit: str | None) -> dict[str, Any]:
    """The dataset with whole paths, because the worker runs elsewhere."""
    paths = [str(Path(path).expanduser().absolute()) if is_local(path) else path for path in dataset.paths]
    template = dataset.chat_template and str(Path(dataset.chat_template).expanduser().absolute())
    pinned = {"revision": commit} if commit else {}
    return {**dataset.model_dump(mode="json"), "path": paths, "chat_template": template, **pinned}
