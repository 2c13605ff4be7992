"""Translate a spec into the request that creates a job at Together AI. Pure: what is looked up comes in a context."""

import re
from pathlib import Path
from typing import Any, NamedTuple

from ftsdk.backend import Plan
from ftsdk.data import is_local
from ftsdk.spec import DPO, SFT, Dataset, JobSpec
from ftsdk.translation.dataset_paths import with_absolute_paths
from ftsdk.translation.ledger import Ledger
from ftsdk_together.check import check_limits
from ftsdk_together.limits import Limits, split_batch
from ftsdk_together.options import TogetherOptions
from ftsdk_together.unsupported_fields import BACKEND_DEFAULTS, IGNORED_ADVICE, REQUIRED_VALUES

NAME = "together"
SECTION = f"backend_options.{NAME}"

FORMATS = {
    "sft": frozenset({"auto", "messages", "prompt_completion", "text", "alpaca", "sharegpt"}),
    "dpo": frozenset({"auto", "preference", "sharegpt"}),
}
"""From a method to the formats of rows that it learns from."""

DIRECT_FIELDS = {
    "training.learning_rate": "learning_rate",
    "training.warmup_ratio": "warmup_ratio",
    "training.max_grad_norm": "max_grad_norm",
    "training.weight_decay": "weight_decay",
    "training.seed": "random_seed",
    "training.max_length": "max_seq_length",
    "training.packing": "packing",
}
"""Fields that are sent as they are."""

SCHEDULERS = frozenset({"linear", "cosine"})

OPTION_REQUIREMENTS = {
    "dpo_normalize_logratios_by_length": "method: dpo",
    "rpo_alpha": "method: dpo",
    "simpo_gamma": "method: dpo",
    "wandb_project": "report_to: [wandb]",
    "wandb_entity": "report_to: [wandb]",
    "wandb_base_url": "report_to: [wandb]",
}
"""From an option to the field of the spec without which it has no effect."""

MINIMUM_PRICE = 4.0
"""US dollars that each job costs at least (docs.together.ai, fine-tuning pricing)."""

FILE = "(the id of the uploaded file)"
TOKEN = "(the job's token)"  # noqa: S105 - a placeholder

# Stricter than ftsdk.data.paths.HUB_ID: every model at Together has an owner in its name, so `gpt2` is none of them.
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


class TogetherContext(NamedTuple):
    """What was looked up before translating."""

    limits: Limits | None = None
    """What Together can do with the model. None: it could not be asked."""
    parent: str | None = None
    """The base model of the checkpoint to start from."""
    text: bool = False
    """Whether the rows are plain text, in which every token carries loss."""
    keys: frozenset[str] = frozenset()
    """Names of environment variables that are set."""


def plan(spec: JobSpec, options: TogetherOptions, context: TogetherContext) -> Plan:
    """The request for a spec, and how each field is used.

    Raises:
        UnsupportedSpec: With every field that Together cannot honour.
    """
    ledger = Ledger(NAME, spec)
    create = {
        **_model(ledger, options, context),
        **_files(ledger),
        **{native: ledger.use(field, native) for field, native in DIRECT_FIELDS.items()},
        "n_epochs": _epochs(ledger),
        "n_evals": _evals(ledger, options),
        "n_checkpoints": options.n_checkpoints,
        **_batch(ledger, context.limits),
        **_scheduler(ledger, options),
        "training_type": _training_type(ledger),
        "training_method": _training_method(ledger, options, context),
        **_early_stopping(ledger, options),
        **_trackers(ledger, options),
        **_hub(ledger),
        "suffix": f"{options.suffix}-{TOKEN}",
    }
    if context.limits and context.limits.supports_vision:
        create["multimodal_params"] = {"train_vision": False}
    keys = _secret_keys(ledger, context)
    _refuse(ledger, options)
    check_limits(ledger, options, context.limits)
    ledger.close()
    return Plan(
        backend=NAME,
        spec=spec,
        native={
            "create": create,
            "rows": _rows(ledger, context),
            "keys": keys,
            "limits_checked": context.limits is not None,
            "price_limit": options.price_limit,
            "on_ambiguous": options.on_ambiguous,
            "settle_seconds": options.settle_seconds,
            "processing_seconds": options.processing_seconds,
        },
        honoured=ledger.honoured,
        set_aside=tuple(ledger.set_aside),
        backends_own=tuple(ledger.backend_defaults),
        charge=f"${MINIMUM_PRICE:g} at least; Together estimates the price after the upload",
        warnings=tuple(_warnings(spec, context, keys)),
    )


def _model(ledger: Ledger, options: TogetherOptions, context: TogetherContext) -> dict[str, Any]:
    name: str = ledger.use("model")
    if options.model is None and (Path(name).expanduser().exists() or not _HUB_ID.fullmatch(name)):
        ledger.refuse("model", "Together trains its own models, by names such as Qwen/Qwen3-8B", "give such a name")
    if options.from_checkpoint is None:
        return {"model": options.model or name}
    if context.parent not in (None, options.model or name):
        ledger.refuse("model", f"the checkpoint {options.from_checkpoint} is of {context.parent}", "give that model")
    return {"from_checkpoint": options.from_checkpoint}


def _files(ledger: Ledger) -> dict[str, Any]:
    """Placeholders for the ids of the files, and the fields that say what is in them."""
    for field in ("dataset", "eval_dataset"):
        dataset: Dataset | None = ledger.use(field, "validation_file" if field[0] == "e" else "training_file")
        for path in dataset.paths if dataset else ():
            if not is_local(path):
                ledger.refuse(f"{field}.path", "rows are uploaded from this machine", "download them, give the file")
    held_out = ledger.use("val_size", "validation_file") > 0 or ledger.value("eval_dataset")
    return {"training_file": FILE, **({"validation_file": FILE} if held_out else {})}


def _epochs(ledger: Ledger) -> int:
    epochs: float = ledger.use("training.num_train_epochs", "n_epochs")
    if not epochs.is_integer():
        ledger.refuse("training.num_train_epochs", "Together trains whole epochs only", f"{round(epochs) or 1}")
    return int(epochs)


def _evals(ledger: Ledger, options: TogetherOptions) -> int:
    if not _holds_out(ledger.spec):
        if options.n_evals:
            ledger.refuse(f"{SECTION}.n_evals", "there are no held-out rows", "set val_size or eval_dataset")
        return 0
    return int(ledger.value("training.num_train_epochs")) if options.n_evals is None else options.n_evals


def _batch(ledger: Ledger, limits: Limits | None) -> dict[str, Any]:
    """The global batch as a legal native one, times accumulation; the limits' own check refuses what does not fit."""
    global_batch: int = ledger.use("training.global_batch_size", "batch_size x gradient_accumulation_steps")
    split = None
    if limits is not None:
        batches = limits.batches(lora=ledger.spec.adapter is not None)
        split = split_batch(global_batch, batches.span(ledger.spec.method.type))
    size, steps = split or (global_batch, 1)
    # Sent even where it is 1: left out, Together takes the model's own default, which is 8 for some.
    return {"batch_size": size, "gradient_accumulation_steps": steps}


def _scheduler(ledger: Ledger, options: TogetherOptions) -> dict[str, Any]:
    kind = ledger.use("training.lr_scheduler_type", "lr_scheduler")
    if kind not in SCHEDULERS:
        ledger.refuse("training.lr_scheduler_type", "Together has linear and cosine only", "linear or cosine")
    half_cycle = {"num_cycles": 0.5} if kind == "cosine" else {}
    arguments = {"min_lr_ratio": options.min_lr_ratio, **half_cycle}
    return {"lr_scheduler": {"lr_scheduler_type": kind, "lr_scheduler_args": arguments}}


def _training_type(ledger: Ledger) -> dict[str, Any]:
    if ledger.use("adapter", "training_type") is None:
        return {"type": "Full"}
    alpha, modules = ledger.use("adapter.alpha", "lora_alpha"), ledger.use("adapter.target_modules")
    # All of them are sent: the documented defaults of r and alpha differ between Together's pages and its client.
    if not float(alpha).is_integer():
        ledger.refuse("adapter.alpha", "Together cuts off its decimals", f"{round(alpha)}")
    return {
        "type": "Lora",
        "lora_r": ledger.use("adapter.r", "lora_r"),
        "lora_alpha": int(alpha),
        "lora_dropout": ledger.use("adapter.dropout", "lora_dropout"),
        "lora_trainable_modules": modules if isinstance(modules, str) else ",".join(modules),
    }


def _training_method(ledger: Ledger, options: TogetherOptions, context: TogetherContext) -> dict[str, Any]:
    method = ledger.spec.method
    if isinstance(method, SFT):
        ledger.use("method", "training_method")
        return {"method": "sft", "train_on_inputs": method.train_on == "all" or context.text}
    if not isinstance(method, DPO):
        ledger.refuse("method", f"Together does not do {method.type}", "sft or dpo")
        return {}
    ledger.use("method.type", "training_method")
    is_simpo = bool(options.simpo_gamma)  # it has no reference model, and divides by length
    extras = {"rpo_alpha": options.rpo_alpha, "simpo_gamma": options.simpo_gamma}
    return {
        "method": "dpo",
        "dpo_beta": ledger.use("method.beta", "dpo_beta"),
        "dpo_normalize_logratios_by_length": options.dpo_normalize_logratios_by_length or is_simpo,
        "dpo_reference_free": is_simpo,
        **{name: value for name, value in extras.items() if value is not None},
    }


def _early_stopping(ledger: Ledger, options: TogetherOptions) -> dict[str, Any]:
    patience = ledger.use("training.early_stopping_patience")
    threshold = ledger.use("training.early_stopping_threshold", "early_stopping_min_delta")
    if patience is None:
        if threshold:
            field = "training.early_stopping_threshold"
            ledger.refuse(field, "it has no effect without early stopping", "set training.early_stopping_patience")
        return {"early_stopping_enabled": False}
    return {
        "early_stopping_enabled": True,
        "early_stopping_patience": patience,
        "early_stopping_min_delta": threshold,
        "early_stopping_warmup_evals": options.early_stopping_warmup_evals,
    }


def _trackers(ledger: Ledger, options: TogetherOptions) -> dict[str, Any]:
    for tracker in ledger.use("report_to", "wandb_key"):
        if tracker != "wandb":
            ledger.refuse("report_to", f"Together does not report to {tracker}", "wandb")
    if "wandb" not in ledger.spec.report_to:
        return {}
    settings = {
        "wandb_name": ledger.spec.name,
        "wandb_project_name": options.wandb_project,
        "wandb_entity": options.wandb_entity,
        "wandb_base_url": options.wandb_base_url,
    }
    return {native: value for native, value in settings.items() if value is not None}


def _hub(ledger: Ledger) -> dict[str, Any]:
    ledger.use("push_to_hub", "hf_output_repo_name")
    name = ledger.use("hub_model_id", "hf_output_repo_name")
    return {"hf_output_repo_name": name} if ledger.spec.push_to_hub else {}


def _secret_keys(ledger: Ledger, context: TogetherContext) -> dict[str, str]:
    """From a key of the request to the environment variable that has it; the secret itself is in no plan."""
    spec = ledger.spec
    variables = {"wandb_key": ("WANDB_API_KEY", "report_to")} if "wandb" in spec.report_to else {}
    if spec.push_to_hub:
        variables["hf_api_token"] = ("HF_TOKEN", "push_to_hub")
    for variable, field in variables.values():
        if variable not in context.keys:
            ledger.refuse(field, f"Together needs {variable}, which is not set", f"export {variable}=...")
            if field == "push_to_hub":
                ledger.refuse("hub_model_id", f"as push_to_hub: {variable} is not set")
    return {native: variable for native, (variable, _) in variables.items()}


def _refuse(ledger: Ledger, options: TogetherOptions) -> None:
    """Refuse what Together has no setting for, by the tables."""
    spec = ledger.spec
    ledger.require_values(REQUIRED_VALUES)
    ledger.refuse_unsendable(BACKEND_DEFAULTS)
    ledger.ignore_advice(IGNORED_ADVICE, "Together chooses the machine")
    formats = FORMATS.get(spec.method.type, frozenset())
    for field in ("dataset.format", "eval_dataset.format"):
        if formats and (ledger.value(field) or "auto") not in formats:
            ledger.refuse(field, f"{spec.method.type} does not learn from this format", ", ".join(sorted(formats)))
    conditions = {"method: dpo": spec.method.type == "dpo", "report_to: [wandb]": "wandb" in spec.report_to}
    for name, requirement in OPTION_REQUIREMENTS.items():
        if getattr(options, name) not in (None, False) and not conditions[requirement]:
            ledger.refuse(f"{SECTION}.{name}", f"it has no effect without {requirement}", "leave it out")
    if (options.price_limit or MINIMUM_PRICE) < MINIMUM_PRICE:
        ledger.refuse(f"{SECTION}.price_limit", f"each job costs ${MINIMUM_PRICE:g} at least", f"{MINIMUM_PRICE:g}")


def _holds_out(spec: JobSpec) -> bool:
    return spec.eval_dataset is not None or spec.val_size > 0


def _rows(ledger: Ledger, context: TogetherContext) -> dict[str, Any]:
    """How the files are made: which rows, and which of their tokens have loss."""
    spec, limits = ledger.spec, context.limits
    return {
        "method": spec.method.type,
        "train_on": spec.method.train_on if isinstance(spec.method, SFT) else "completion",
        "dataset": with_absolute_paths(spec.dataset).model_dump(mode="json"),
        "eval_dataset": spec.eval_dataset and with_absolute_paths(spec.eval_dataset).model_dump(mode="json"),
        "val_size": spec.val_size,
        "seed": spec.training.seed,
        "tools": limits is None or limits.supports_tools,
        "reasoning": limits is None or limits.supports_reasoning,
    }


def _warnings(spec: JobSpec, context: TogetherContext, keys: dict[str, str]) -> list[str]:
    warnings = [f"the price is estimated between upload and creation; a job costs ${MINIMUM_PRICE:g} at least"]
    if not spec.training.packing:
        warnings.append(f"without packing, Together bills rows x max_length ({spec.training.max_length}) tokens")
    if spec.method.type == "dpo":
        warnings.append("plain prompts and answers are sent as messages of the user and the assistant")
    if context.limits is None:
        warnings.append("Together's limits for this model were not checked: TOGETHER_API_KEY is not set")
    return warnings + [f"your {variable} is sent to Together" for variable in keys.values()]
