"""Translate a spec into AutoTrain's own YAML with every parameter. Pure but for reading the model's config file."""

import functools
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from ftsdk.backend import Plan
from ftsdk.data.download import SCHEMES
from ftsdk.engines.fields import ModelReference, resolve_model, split_batch
from ftsdk.engines.runner_support import version_mismatch
from ftsdk.huggingface.flavors import Flavor
from ftsdk.huggingface.pricing import Pricing, find_flavor, price_job, secrets_of
from ftsdk.huggingface.revisions import Pins, pin_warnings, pinned_commits
from ftsdk.huggingface.staging import COMMAND
from ftsdk.spec import DPO, JobSpec
from ftsdk.translation.dataset_paths import with_absolute_paths
from ftsdk.translation.ledger import Ledger
from ftsdk.translation.model_config import check_base, model_warnings
from ftsdk.translation.model_folder_checks import model_problems
from ftsdk.translation.model_source import config_of
from ftsdk.workers.hardware import Machine
from ftsdk_autotrain.engine import (
    BACKEND_DEFAULTS,
    FLAVOR,
    IGNORED_ADVICE,
    NO_PACKING,
    PACKING_OF_SFT,
    REQUIRED_VALUES,
    AutoTrainOptions,
)
from ftsdk_autotrain.runner import TRANSFORMERS

NAME = "autotrain"
PROJECT = "ftsdk-job"
"""AutoTrain's name for the job, which is its output folder."""

TASKS = {"sft": "llm-sft", "dpo": "llm-dpo", "orpo": "llm-orpo", "reward_modeling": "llm-reward"}
"""From a method to AutoTrain's task."""

_PAIRED = frozenset({"auto", "preference", "sharegpt"})
FORMATS = {
    "sft": frozenset({"auto", "messages", "prompt_completion", "text", "alpaca", "sharegpt"}),
    "dpo": _PAIRED,
    "orpo": _PAIRED,
    "reward_modeling": _PAIRED,
}
"""From a method to the formats of its rows."""

COLUMNS = {
    "sft": {"text_column": "text"},
    "dpo": {"prompt_text_column": "prompt", "text_column": "chosen", "rejected_text_column": "rejected"},
    "orpo": {"prompt_text_column": "prompt", "text_column": "chosen", "rejected_text_column": "rejected"},
    "reward_modeling": {"text_column": "chosen", "rejected_text_column": "rejected"},
}
"""From a method to the columns of its rendered rows."""

PARAMETERS = {
    "training.learning_rate": "lr",
    "training.lr_scheduler_type": "scheduler",
    "training.warmup_ratio": "warmup_ratio",
    "training.max_grad_norm": "max_grad_norm",
    "training.weight_decay": "weight_decay",
    "training.optim": "optimizer",
    "training.seed": "seed",
    "training.max_length": "block_size",
    "training.logging_steps": "logging_steps",
}
"""From fields to AutoTrain's parameters of the same meaning."""

QUANTIZATIONS = {"nf4": "int4", "int8": "int8"}
"""AutoTrain's int4 is nf4."""

PRECISIONS = {"bfloat16": "bf16", "float16": "fp16", "float32": None}


@functools.cache
def architectures() -> frozenset[str]:
    """The ``model_type`` of every language model that AutoTrain's Transformers (4.48) can load."""
    return frozenset(files(__package__).joinpath("architectures.txt").read_text(encoding="utf-8").split())


class AutoTrainContext(NamedTuple):
    """Everything outside the spec that a translation depends on."""

    version: str
    """AutoTrain's."""
    machine: Machine
    """The device that it runs on."""
    pins: Pins = MappingProxyType({})
    """The commits of the repositories in the spec."""
    namespace: str = ""
    """Who owns and pays a hosted job."""
    flavors: Sequence[Flavor] = ()
    """Hugging Face's machines."""
    variables: frozenset[str] = frozenset()
    """Names of environment variables that are set on this machine."""


def plan(spec: JobSpec, options: AutoTrainOptions, context: AutoTrainContext) -> Plan:
    """AutoTrain's request for a spec, and how each field is used.

    Args:
        spec: The spec.
        options: The backend's own settings.
        context: Version, machines, commits and variables.

    Raises:
        UnsupportedSpec: With every field that AutoTrain does not support.
    """
    ledger = Ledger(NAME, spec)
    method, commits = spec.method.type, pinned_commits(ledger, context.pins)
    if method not in TASKS:
        ledger.refuse("method", f"AutoTrain does not train {method}", ", ".join(TASKS))
    flavor = _flavor(ledger, options, context) if options.executor != "local" else None
    machine = flavor.machine if flavor else context.machine
    model = _model(ledger, commits.get("model"))
    config = _config(ledger, options, model.name, machine)
    for name in sorted(_MEANINGLESS_OPTIONS[options.executor == "local"] & options.model_fields_set):
        problem = f"has no effect where executor is {options.executor}"
        ledger.refuse(f"backend_options.{NAME}.{name}", problem, "leave it out")
    hosted, pricing = _hosted(ledger, options, flavor, context) if flavor else ({}, None)
    check_base(ledger, *model)
    _refuse(ledger)
    ledger.close()
    return Plan(
        backend=NAME,
        spec=spec,
        native={
            "engine": f"autotrain-advanced {context.version}",
            "executor": options.executor,
            **hosted,
            "config": config,
            "environment": {"ALLOW_REMOTE_CODE": str(spec.trust_remote_code).lower()},
            "rows": _rows(spec, commits, model.revision),
        },
        honoured=ledger.honoured,
        set_aside=tuple(ledger.set_aside),
        backends_own=(*ledger.backend_defaults, *(pricing.defaults if pricing else ())),
        command="autotrain --config job.yaml",
        device=machine.name,
        device_memory=machine.memory,
        price=None if pricing else 0.0,
        charge=pricing.cost if pricing else "",
        warnings=(
            *pin_warnings(context.pins),
            *map(str, model_problems(spec.model)),
            *model_warnings(spec, *model),
            *_warnings(spec, machine),
            *([pricing.cost] if pricing else ()),
            *((SPACES_WARNING,) if options.executor == "spaces" else ()),
        ),
    )


def _config(ledger: Ledger, options: AutoTrainOptions, model: str, machine: Machine) -> dict[str, Any]:
    """AutoTrain's YAML."""
    method = ledger.spec.method.type
    return {
        "task": TASKS.get(method, "llm"),
        "backend": "local",
        "base_model": model,
        "project_name": PROJECT,
        "log": _tracker(ledger),
        "data": {
            "path": "data",
            "train_split": "train",
            "valid_split": None,
            "chat_template": None,
            "column_mapping": COLUMNS.get(method, {}),
        },
        "params": _params(ledger, options, machine),
    }


_MEANINGLESS_OPTIONS = {
    False: frozenset({"python", "device", "grace_seconds"}),
    True: frozenset({"flavor", "namespace", "image", "price_limit", "on_ambiguous", "settle_seconds"}),
}
"""Options without an effect, by whether the job is local: options of the other executors."""

SPACES_WARNING = (
    "a Space runs, and costs, until it is paused: it pauses itself, and ftsdk status pauses it once more; its sleep "
    "time is the last resort. A paused Space looks the same after success and failure: ftsdk reads the outcome from "
    "the model repository of the same name. executor: jobs reports ends, timeouts and prices"
)
"""In the plan of every Space."""


def _flavor(ledger: Ledger, options: AutoTrainOptions, context: AutoTrainContext) -> Flavor:
    """The machine of a hosted job; where it is refused, the most expensive one, to check the other fields."""
    return find_flavor(ledger, options.flavor or FLAVOR, context.flavors) or context.flavors[-1]


def _hosted(
    ledger: Ledger, options: AutoTrainOptions, flavor: Flavor, context: AutoTrainContext
) -> tuple[dict[str, Any], Pricing]:
    """The native request of a Job or a Space, and its price."""
    pricing = price_job(ledger, options, flavor)
    if Path(ledger.spec.model).expanduser().is_dir():
        ledger.refuse("model", "a folder of this machine is not uploaded", "push it to the Hub, and give its name")
    native = {
        "namespace": context.namespace,
        "image": options.image,
        "command": list(COMMAND),
        "flavor": flavor.name,
        "seconds": pricing.seconds,
        "price_per_hour": flavor.price,
        "secrets": secrets_of(ledger, context.variables),
        "on_ambiguous": options.on_ambiguous,
        "settle_seconds": options.settle_seconds,
    }
    return native, pricing


def _model(ledger: Ledger, commit: str | None) -> ModelReference:
    """AutoTrain's name for the model, and the Hub's commit, which our runner downloads."""
    ledger.use("trust_remote_code", "ALLOW_REMOTE_CODE")
    model = resolve_model(ledger, commit, "base_model")
    if config := config_of(*model):
        _check_model(ledger, config)
    return model


def _check_model(ledger: Ledger, config: dict[str, Any]) -> None:
    """Refuse models that AutoTrain's Transformers cannot read, or misreads."""
    kind = config.get("model_type")
    if mismatch := version_mismatch(config, TRANSFORMERS):
        ledger.refuse("model", mismatch, "a copy saved by Transformers 4, or another backend")
    elif kind not in architectures():
        problem = f"AutoTrain's Transformers is {TRANSFORMERS}, which does not know models of the type {kind!r}"
        ledger.refuse("model", problem, "an older model, or another backend")


def _params(ledger: Ledger, options: AutoTrainOptions, machine: Machine) -> dict[str, Any]:
    """Every parameter of AutoTrain's LLM trainers, except those of the other sections of the YAML."""
    # Also those without a field in the spec: AutoTrain's defaults would train another model (block_size 1024, for one).
    length = ledger.value("training.max_length")
    return {
        **{native: ledger.use(field, native) for field, native in PARAMETERS.items()},
        "epochs": _epochs(ledger),
        **split_batch(ledger, "batch_size", "gradient_accumulation"),
        **_adapter(ledger, options),
        "quantization": _quantization(ledger, machine),
        "mixed_precision": _precision(ledger, machine),
        "use_flash_attention_2": _flash_attention(ledger),
        "disable_gradient_checkpointing": ledger.use("compute.gradient_checkpointing") is False,
        "model_max_length": length,
        "max_prompt_length": length,
        "max_completion_length": length,
        "padding": options.padding,
        "add_eos_token": True,
        "auto_find_batch_size": False,
        "eval_strategy": "no",
        "save_total_limit": 1,
        "model_ref": None,
        "dpo_beta": ledger.use("method.beta", "dpo_beta") if isinstance(ledger.spec.method, DPO) else 0.1,
        "unsloth": False,
        "distributed_backend": None,
    }


def _epochs(ledger: Ledger) -> int:
    epochs: float = ledger.use("training.num_train_epochs", "epochs")
    if not epochs.is_integer():
        ledger.refuse("training.num_train_epochs", "AutoTrain trains whole epochs only", f"{round(epochs) or 1}")
    return int(epochs)


def _adapter(ledger: Ledger, options: AutoTrainOptions) -> dict[str, Any]:
    """LoRA; the numbers are sent without an adapter, too."""
    adapter = ledger.use("adapter", "peft")
    if adapter is None:
        if options.merge_adapter:
            ledger.refuse(f"backend_options.{NAME}.merge_adapter", "there is no adapter to merge", "leave it out")
        defaults: dict[str, Any] = {"lora_r": 16, "lora_alpha": 32, "lora_dropout": 0.0, "target_modules": "all-linear"}
        return {"peft": False, "merge_adapter": False, **defaults}
    alpha, modules = ledger.use("adapter.alpha", "lora_alpha"), ledger.use("adapter.target_modules")
    if not float(alpha).is_integer():
        ledger.refuse("adapter.alpha", "AutoTrain takes whole numbers only", f"{round(alpha)}")
    return {
        "peft": True,
        "merge_adapter": options.merge_adapter,
        "lora_r": ledger.use("adapter.r", "lora_r"),
        "lora_alpha": int(alpha),
        "lora_dropout": ledger.use("adapter.dropout", "lora_dropout"),
        "target_modules": modules if isinstance(modules, str) else ",".join(modules),
    }


def _quantization(ledger: Ledger, machine: Machine) -> str | None:
    quantization = ledger.value("compute.quantization")
    if quantization is None:
        ledger.use("compute.quantization")
        return None
    if quantization not in QUANTIZATIONS:
        ledger.ignore("compute.quantization", f"AutoTrain has no {quantization}; its 4 bits are nf4")
        return None
    if not machine.cuda:
        ledger.ignore("compute.quantization", "AutoTrain's bitsandbytes (0.45) quantizes on NVIDIA cards only")
        return None
    ledger.use("compute.quantization")
    return QUANTIZATIONS[quantization]


def _precision(ledger: Ledger, machine: Machine) -> str | None:
    """``auto`` is float16 on a card, and no mixed precision on the CPU."""
    # Not bfloat16: a T4, the cheapest machine of Hugging Face, lacks it, and AutoTrain computes 4-bit bases in float16.
    dtype = ledger.use("compute.dtype", "mixed_precision")
    if dtype == "float16" and not machine.cuda:
        ledger.refuse("compute.dtype", "float16 trains on GPUs only", "auto, bfloat16 or float32")
    if dtype == "auto":
        return "fp16" if machine.cuda else None
    return PRECISIONS[dtype]


def _flash_attention(ledger: Ledger) -> bool:
    if ledger.value("compute.attention") == "eager":
        return False  # ignored below, with the rest of the advice
    return bool(ledger.use("compute.attention", "use_flash_attention_2") == "flash_attention_2")


def _tracker(ledger: Ledger) -> str:
    trackers = ledger.use("report_to", "log")
    if len(trackers) > 1:
        ledger.refuse("report_to", "AutoTrain reports to one tracker", trackers[0])
    for tracker in set(trackers) - {"tensorboard", "wandb"}:
        ledger.refuse("report_to", f"AutoTrain does not report to {tracker}", "tensorboard or wandb")
    return trackers[0] if trackers else "none"


def _refuse(ledger: Ledger) -> None:
    """Refuse or ignore what AutoTrain does not support."""
    method = ledger.spec.method.type
    ledger.use("method", "task")
    ledger.use("method.type", "task")
    ledger.require_values(REQUIRED_VALUES | (PACKING_OF_SFT if method == "sft" else NO_PACKING))
    ledger.refuse_unsendable(BACKEND_DEFAULTS)
    if method == "orpo" and ledger.value("method.beta") != 0.1:
        ledger.refuse("method.beta", "AutoTrain's ORPO always has a beta of 0.1", "0.1")
    for field in ("push_to_hub", "hub_model_id"):
        if ledger.use(field):
            ledger.refuse(field, "this backend does not let AutoTrain upload", "push the artifact after fetching it")
    ledger.use("compute.timeout", "the job's deadline")
    ledger.use("dataset", "data")
    formats = FORMATS.get(method)
    if formats and ledger.spec.dataset.format not in formats:
        ledger.refuse("dataset.format", f"{method} does not train on this format", ", ".join(sorted(formats)))
    for path in ledger.spec.dataset.paths:
        if "://" in path and not path.startswith(SCHEMES):
            ledger.refuse(
                "dataset.path",
                "rows of this kind of address are not supported",
                f"give a file, or {', '.join(SCHEMES)}...",
            )
    template = ledger.spec.dataset.chat_template
    if template and not Path(template).expanduser().is_file():
        ledger.refuse("dataset.chat_template", f"there is no file {template}", "give a Jinja file")
    ledger.ignore_advice(IGNORED_ADVICE, "AutoTrain has no setting for it")


def _rows(spec: JobSpec, commits: Mapping[str, str], revision: str | None) -> dict[str, Any]:
    """The runner's settings beside AutoTrain's own configuration."""
    return {
        "method": spec.method.type,
        "dataset": with_absolute_paths(spec.dataset, commits.get("dataset")).model_dump(mode="json"),
        "max_length": spec.training.max_length,
        "trust_remote_code": spec.trust_remote_code,
        "model_revision": revision,
    }


def _warnings(spec: JobSpec, machine: Machine) -> list[str]:
    messages = ["AutoTrain loads a base that is not quantized in float32: four bytes for each weight"]
    if spec.compute.quantization and machine.cuda:
        messages = ["AutoTrain computes with a 4-bit base in float16, also on cards that have bfloat16"]
    if spec.method.type == "reward_modeling":
        messages.append("AutoTrain leaves out pairs that are longer than max_length; the log has their number")
    return messages
