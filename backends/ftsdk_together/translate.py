"""Translate a spec into the request that creates a job at Together AI. Pure: all that is looked up comes in."""

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
from ftsdk_together.unsupported_fields import ADVICE, ONLY, OWN

NAME = "together"
SECTION = f"backend_options.{NAME}"

FORMATS = {
    "sft": frozenset({"auto", "messages", "prompt_completion", "text", "alpaca", "sharegpt"}),
    "dpo": frozenset({"auto", "preference", "sharegpt"}),
}
"""From a method to the formats of rows that it learns from."""

SENT = {
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

ONLY_WITH = {
    "dpo_normalize_logratios_by_length": "method: dpo",
    "rpo_alpha": "method: dpo",
    "simpo_gamma": "method: dpo",
    "wandb_project": "report_to: [wandb]",
    "wandb_entity": "report_to: [wandb]",
    "wandb_base_url": "report_to: [wandb]",
}
"""Options that mean nothing without something else."""

LEAST_PRICE = 4.0
"""US dollars that each job costs at least (docs.together.ai, fine-tuning pricing)."""

FILE = "(the id of the uploaded file)"
TOKEN = "(the job's token)"  # noqa: S105 - a placeholder

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


class Known(NamedTuple):
    """What was looked up before translating."""

    limits: Limits | None = None
    """What Together can do with the model. None: it could not be asked."""
    parent: str | None = None
    """The base model of the checkpoint to go on from."""
    text: bool = False
    """Whether the rows are plain text, in which every token carries loss."""
    keys: frozenset[str] = frozenset()
    """Names of environment variables that are set."""


def plan(spec: JobSpec, options: TogetherOptions, known: Known) -> Plan:
    """The request for a spec, and what becomes of each field.

    Raises:
        UnsupportedSpec: With every field that Together cannot honour.
    """
    ledger = Ledger(NAME, spec)
    create = {
        **_model(ledger, options, known),
        **_files(ledger),
        **{native: ledger.use(field, native) for field, native in SENT.items()},
        "n_epochs": _epochs(ledger),
        "n_evals": _evals(ledger, options),
        "n_checkpoints": options.n_checkpoints,
        **_batch(ledger, known.limits),
        **_scheduler(ledger, options),
        "training_type": _training_type(ledger),
        "training_method": _training_method(ledger, options, known),
        **_early_stopping(ledger, options),
        **_trackers(ledger, options),
        **_hub(ledger),
        "suffix": f"{options.suffix}-{TOKEN}",
    }
    if known.limits and known.limits.supports_vision:
        create["multimodal_params"] = {"train_vision": False}
    keys = _keys(ledger, known)
    _refuse(ledger, options)
    check_limits(ledger, options, known.limits)
    ledger.close()
    return Plan(
        backend=NAME,
        spec=spec,
        native={
            "create": create,
            "rows": _rows(ledger, known),
            "keys": keys,
            "limits_checked": known.limits is not None,
            "price_limit": options.price_limit,
            "on_ambiguous": options.on_ambiguous,
            "settle_seconds": options.settle_seconds,
            "processing_seconds": options.processing_seconds,
        },
        honoured=ledger.honoured,
        set_aside=tuple(ledger.set_aside),
        backends_own=tuple(ledger.backend_defaults),
        charge=f"${LEAST_PRICE:g} at least; Together tells the price behind the upload",
        warnings=tuple(_warnings(spec, known, keys)),
    )


def _model(ledger: Ledger, options: TogetherOptions, known: Known) -> dict[str, Any]:
    name: str = ledger.use("model")
    if options.model is None and (Path(name).expanduser().exists() or not _HUB_ID.fullmatch(name)):
        ledger.refuse("model", "Together trains its own models, by names such as Qwen/Qwen3-8B", "give such a name")
    if options.from_checkpoint is None:
        return {"model": options.model or name}
    if known.parent not in (None, options.model or name):
        ledger.refuse("model", f"the checkpoint {options.from_checkpoint} is of {known.parent}", "give that model")
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
    wanted: int = ledger.use("training.global_batch_size", "batch_size x gradient_accumulation_steps")
    found = None
    if limits is not None:
        batches = limits.batches(lora=ledger.spec.adapter is not None)
        found = split_batch(wanted, batches.span(ledger.spec.method.type))
    size, times = found or (wanted, 1)
    return {"batch_size": size, "gradient_accumulation_steps": times}


def _scheduler(ledger: Ledger, options: TogetherOptions) -> dict[str, Any]:
    kind = ledger.use("training.lr_scheduler_type", "lr_scheduler")
    if kind not in SCHEDULERS:
        ledger.refuse("training.lr_scheduler_type", "Together has linear and cosine only", "linear or cosine")
    half_a_wave = {"num_cycles": 0.5} if kind == "cosine" else {}
    arguments = {"min_lr_ratio": options.min_lr_ratio, **half_a_wave}
    return {"lr_scheduler": {"lr_scheduler_type": kind, "lr_scheduler_args": arguments}}


def _training_type(ledger: Ledger) -> dict[str, Any]:
    if ledger.use("adapter", "training_type") is None:
        return {"type": "Full"}
    alpha, modules = ledger.use("adapter.alpha", "lora_alpha"), ledger.use("adapter.target_modules")
    if not float(alpha).is_integer():
        ledger.refuse("adapter.alpha", "Together cuts off what is behind the point", f"{round(alpha)}")
    return {
        "type": "Lora",
        "lora_r": ledger.use("adapter.r", "lora_r"),
        "lora_alpha": int(alpha),
        "lora_dropout": ledger.use("adapter.dropout", "lora_dropout"),
        "lora_trainable_modules": modules if isinstance(modules, str) else ",".join(modules),
    }


def _training_method(ledger: Ledger, options: TogetherOptions, known: Known) -> dict[str, Any]:
    method = ledger.spec.method
    if isinstance(method, SFT):
        ledger.use("method", "training_method")
        return {"method": "sft", "train_on_inputs": method.train_on == "all" or known.text}
    if not isinstance(method, DPO):
        ledger.refuse("method", f"Together does not do {method.type}", "sft or dpo")
        return {}
    ledger.use("method.type", "training_method")
    free = bool(options.simpo_gamma)  # SimPO has no reference, and divides by length
    extras = {"rpo_alpha": options.rpo_alpha, "simpo_gamma": options.simpo_gamma}
    return {
        "method": "dpo",
        "dpo_beta": ledger.use("method.beta", "dpo_beta"),
        "dpo_normalize_logratios_by_length": options.dpo_normalize_logratios_by_length or free,
        "dpo_reference_free": free,
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
    named = {
        "wandb_name": ledger.spec.name,
        "wandb_project_name": options.wandb_project,
        "wandb_entity": options.wandb_entity,
        "wandb_base_url": options.wandb_base_url,
    }
    return {native: value for native, value in named.items() if value is not None}


def _hub(ledger: Ledger) -> dict[str, Any]:
    ledger.use("push_to_hub", "hf_output_repo_name")
    name = ledger.use("hub_model_id", "hf_output_repo_name")
    return {"hf_output_repo_name": name} if ledger.spec.push_to_hub else {}


def _keys(ledger: Ledger, known: Known) -> dict[str, str]:
    """From a key of the request to the environment variable that holds it; the value itself is in no plan."""
    spec = ledger.spec
    wanted = {"wandb_key": ("WANDB_API_KEY", "report_to")} if "wandb" in spec.report_to else {}
    if spec.push_to_hub:
        wanted["hf_api_token"] = ("HF_TOKEN", "push_to_hub")
    for variable, field in wanted.values():
        if variable not in known.keys:
            ledger.refuse(field, f"Together needs {variable}, which is not set", f"export {variable}=...")
            if field == "push_to_hub":
                ledger.refuse("hub_model_id", f"as push_to_hub: {variable} is not set")
    return {native: variable for native, (variable, _) in wanted.items()}


def _refuse(ledger: Ledger, options: TogetherOptions) -> None:
    """All that Together cannot be told, from the tables."""
    spec = ledger.spec
    ledger.require_values(ONLY)
    ledger.refuse_unsendable(OWN)
    ledger.ignore_advice(ADVICE, "Together chooses the machine")
    takes = FORMATS.get(spec.method.type, frozenset())
    for field in ("dataset.format", "eval_dataset.format"):
        if takes and (ledger.value(field) or "auto") not in takes:
            ledger.refuse(field, f"{spec.method.type} does not learn from this format", ", ".join(sorted(takes)))
    met = {"method: dpo": spec.method.type == "dpo", "report_to: [wandb]": "wandb" in spec.report_to}
    for name, needs in ONLY_WITH.items():
        if getattr(options, name) not in (None, False) and not met[needs]:
            ledger.refuse(f"{SECTION}.{name}", f"it has no effect without {needs}", "leave it out")
    if (options.price_limit or LEAST_PRICE) < LEAST_PRICE:
        ledger.refuse(f"{SECTION}.price_limit", f"each job costs ${LEAST_PRICE:g} at least", f"{LEAST_PRICE:g}")


def _holds_out(spec: JobSpec) -> bool:
    return spec.eval_dataset is not None or spec.val_size > 0


def _rows(ledger: Ledger, known: Known) -> dict[str, Any]:
    """How the files are made: which rows, and which of their tokens carry loss."""
    spec, limits = ledger.spec, known.limits
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


def _warnings(spec: JobSpec, known: Known, keys: dict[str, str]) -> list[str]:
    said = [f"the price is asked behind the upload and before the creation; a job costs ${LEAST_PRICE:g} at least"]
    if not spec.training.packing:
        said.append(f"without packing, Together bills rows x max_length ({spec.training.max_length}) tokens")
    if spec.method.type == "dpo":
        said.append("plain prompts and answers are sent as messages of the user and the assistant")
    if known.limits is None:
        said.append("Together's limits for this model were not checked: TOGETHER_API_KEY is not set")
    return said + [f"Together is given your {variable}" for variable in keys.values()]
