"""Translate a spec into AutoTrain's own YAML, every parameter in it. Pure but for reading the model's config file."""

import functools
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from ftsdk.backend import Plan
from ftsdk.data import is_local
from ftsdk.data.download import SCHEMES
from ftsdk.engines.fields import ModelReference, resolve_model, split_batch
from ftsdk.engines.runner_support import version_mismatch
from ftsdk.huggingface.flavors import Flavor
from ftsdk.huggingface.pricing import Terms, named_flavor, secrets_of, settle_terms
from ftsdk.huggingface.revisions import Pins, pin_warnings, pinned_commits
from ftsdk.huggingface.staging import COMMAND
from ftsdk.spec import DPO, JobSpec
from ftsdk.translation.base_model import check_base, model_warnings
from ftsdk.translation.ledger import Ledger
from ftsdk.translation.model_checks import model_problems
from ftsdk.translation.model_source import config_of
from ftsdk.workers.hardware import Machine
from ftsdk_autotrain.options import FLAVOR, AutoTrainOptions
from ftsdk_autotrain.runner import TRANSFORMERS
from ftsdk_autotrain.unsupported_fields import ADVICE, ONLY, OWN, PACKED, UNPACKED

NAME = "autotrain"
PROJECT = "ftsdk-job"
"""AutoTrain's name for the job, which is the folder that it writes into."""

TASKS = {"sft": "llm-sft", "dpo": "llm-dpo", "orpo": "llm-orpo", "reward_modeling": "llm-reward"}
"""From a method to AutoTrain's task."""

_PAIRED = frozenset({"auto", "preference", "sharegpt"})
FORMATS = {
    "sft": frozenset({"auto", "messages", "prompt_completion", "text", "alpaca", "sharegpt"}),
    "dpo": _PAIRED,
    "orpo": _PAIRED,
    "reward_modeling": _PAIRED,
}
"""From a method to the formats of rows that it learns from."""

COLUMNS = {
    "sft": {"text_column": "text"},
    "dpo": {"prompt_text_column": "prompt", "text_column": "chosen", "rejected_text_column": "rejected"},
    "orpo": {"prompt_text_column": "prompt", "text_column": "chosen", "rejected_text_column": "rejected"},
    "reward_modeling": {"text_column": "chosen", "rejected_text_column": "rejected"},
}
"""From a method to the columns of its rendered rows."""

SENT = {
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
"""Fields that are sent as they are."""

QUANTIZATIONS = {"nf4": "int4", "int8": "int8"}
"""AutoTrain's int4 is nf4."""

PRECISIONS = {"bfloat16": "bf16", "float16": "fp16", "float32": None}


@functools.cache
def architectures() -> frozenset[str]:
    """The ``model_type`` of every language model that AutoTrain's Transformers (4.48) can load."""
    return frozenset(files(__package__).joinpath("architectures.txt").read_text(encoding="utf-8").split())


class Known(NamedTuple):
    """What was found out before."""

    version: str
    """AutoTrain's."""
    machine: Machine
    """What it runs on."""
    pins: Pins = MappingProxyType({})
    """What the Hub says of the names in the spec."""
    namespace: str = ""
    """Who owns a hosted job, and pays."""
    flavors: Sequence[Flavor] = ()
    """Hugging Face's machines."""
    variables: frozenset[str] = frozenset()
    """Names of environment variables that are set here."""


def plan(spec: JobSpec, options: AutoTrainOptions, known: Known) -> Plan:
    """AutoTrain's request for a spec, and what becomes of each field.

    Args:
        spec: What the user means.
        options: What AutoTrain alone has.
        known: What was found out before.

    Raises:
        UnsupportedSpec: With every field that AutoTrain cannot honour.
    """
    ledger = Ledger(NAME, spec)
    method, commits = spec.method.type, pinned_commits(ledger, known.pins)
    if method not in TASKS:
        ledger.refuse("method", f"AutoTrain does not do {method}", ", ".join(TASKS))
    flavor = _flavor(ledger, options, known) if options.executor != "local" else None
    machine = flavor.machine if flavor else known.machine
    model = _model(ledger, commits.get("model"))
    config = _config(ledger, options, model.name, machine)
    for name in sorted(_ABOUT[options.executor == "local"] & options.model_fields_set):
        what = f"means nothing where executor is {options.executor}"
        ledger.refuse(f"backend_options.{NAME}.{name}", what, "leave it out")
    hosted, terms = _hosted(ledger, options, flavor, known) if flavor else ({}, None)
    check_base(ledger, *model)
    _refuse(ledger)
    ledger.close()
    return Plan(
        backend=NAME,
        spec=spec,
        native={
            "engine": f"autotrain-advanced {known.version}",
            "executor": options.executor,
            **hosted,
            "config": config,
            "environment": {"ALLOW_REMOTE_CODE": str(spec.trust_remote_code).lower()},
            "rows": _rows(spec, commits, model.revision),
        },
        honoured=ledger.honoured,
        set_aside=tuple(ledger.set_aside),
        backends_own=(*ledger.backend_defaults, *(terms.own if terms else ())),
        command="autotrain --config job.yaml",
        device=machine.name,
        device_memory=machine.memory,
        price=None if terms else 0.0,
        charge=terms.cost if terms else "",
        warnings=(
            *pin_warnings(known.pins),
            *map(str, model_problems(spec.model)),
            *model_warnings(spec, *model),
            *_warnings(spec, machine),
            *([terms.cost] if terms else ()),
            *((SPACES,) if options.executor == "spaces" else ()),
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


_ABOUT = {
    False: frozenset({"python", "device", "grace_seconds"}),
    True: frozenset({"flavor", "namespace", "image", "price_limit", "on_ambiguous", "settle_seconds"}),
}
"""Options that have no meaning: those about this machine in a hosted job, and the other way round."""

SPACES = (
    "a Space runs, and costs, until it is paused: it pauses itself, and ftsdk status pauses it once more; its sleep "
    "time is the last resort. A paused Space looks the same whatever has happened: ftsdk goes by what came to the "
    "model repository of its name. executor: jobs has ends, timeouts and prices"
)
"""Said of every Space."""


def _flavor(ledger: Ledger, options: AutoTrainOptions, known: Known) -> Flavor:
    """The machine of a hosted job; another one stands in where it is refused."""
    return named_flavor(ledger, options.flavor or FLAVOR, known.flavors) or known.flavors[-1]


def _hosted(ledger: Ledger, options: AutoTrainOptions, flavor: Flavor, known: Known) -> tuple[dict[str, Any], Terms]:
    """What a Job or a Space is, and its terms."""
    terms = settle_terms(ledger, options, flavor)
    if Path(ledger.spec.model).expanduser().is_dir():
        ledger.refuse("model", "a folder of this machine does not go along", "push it to the Hub, and give its name")
    native = {
        "namespace": known.namespace,
        "image": options.image,
        "command": list(COMMAND),
        "flavor": flavor.name,
        "seconds": terms.seconds,
        "price_per_hour": flavor.price,
        "secrets": secrets_of(ledger, known.variables),
        "on_ambiguous": options.on_ambiguous,
        "settle_seconds": options.settle_seconds,
    }
    return native, terms


def _model(ledger: Ledger, commit: str | None) -> ModelReference:
    """AutoTrain's name for the model, and the Hub's commit, which our runner brings."""
    ledger.use("trust_remote_code", "ALLOW_REMOTE_CODE")
    model = resolve_model(ledger, commit, "base_model")
    if config := config_of(*model):
        _check_model(ledger, config)
    return model


def _check_model(ledger: Ledger, config: dict[str, Any]) -> None:
    """Refuse what AutoTrain's Transformers cannot read, or misreads."""
    kind = config.get("model_type")
    if trouble := version_mismatch(config, TRANSFORMERS):
        ledger.refuse("model", trouble, "a copy saved by Transformers 4, or another backend")
    elif kind not in architectures():
        what = f"AutoTrain's Transformers is {TRANSFORMERS}, which does not know models of the type {kind!r}"
        ledger.refuse("model", what, "an older model, or another backend")


def _params(ledger: Ledger, options: AutoTrainOptions, machine: Machine) -> dict[str, Any]:
    """Every parameter of AutoTrain's LLM trainers, but for those that the other sections of the YAML set."""
    length = ledger.value("training.max_length")
    return {
        **{native: ledger.use(field, native) for field, native in SENT.items()},
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
    """LoRA; AutoTrain reads the numbers also where there is none."""
    adapter = ledger.use("adapter", "peft")
    if adapter is None:
        if options.merge_adapter:
            ledger.refuse(f"backend_options.{NAME}.merge_adapter", "there is no adapter to merge", "leave it out")
        numbers: dict[str, Any] = {"lora_r": 16, "lora_alpha": 32, "lora_dropout": 0.0, "target_modules": "all-linear"}
        return {"peft": False, "merge_adapter": False, **numbers}
    alpha, modules = ledger.use("adapter.alpha", "lora_alpha"), ledger.use("adapter.target_modules")
    if not float(alpha).is_integer():
        ledger.refuse("adapter.alpha", "AutoTrain takes whole numbers", f"{round(alpha)}")
    return {
        "peft": True,
        "merge_adapter": options.merge_adapter,
        "lora_r": ledger.use("adapter.r", "lora_r"),
        "lora_alpha": int(alpha),
        "lora_dropout": ledger.use("adapter.dropout", "lora_dropout"),
        "target_modules": modules if isinstance(modules, str) else ",".join(modules),
    }


def _quantization(ledger: Ledger, machine: Machine) -> str | None:
    wanted = ledger.value("compute.quantization")
    if wanted is None:
        ledger.use("compute.quantization")
        return None
    if wanted not in QUANTIZATIONS:
        ledger.ignore("compute.quantization", f"AutoTrain has no {wanted}; its 4 bits are nf4")
        return None
    if not machine.cuda:
        ledger.ignore("compute.quantization", "AutoTrain's bitsandbytes (0.45) quantizes on NVIDIA cards only")
        return None
    ledger.use("compute.quantization")
    return QUANTIZATIONS[wanted]


def _precision(ledger: Ledger, machine: Machine) -> str | None:
    """``auto``: float16 on a card, as AutoTrain's older cards lack bfloat16; none on the CPU."""
    wanted = ledger.use("compute.dtype", "mixed_precision")
    if wanted == "float16" and not machine.cuda:
        ledger.refuse("compute.dtype", "float16 trains on GPUs only", "auto, bfloat16 or float32")
    if wanted == "auto":
        return "fp16" if machine.cuda else None
    return PRECISIONS[wanted]


def _flash_attention(ledger: Ledger) -> bool:
    if ledger.value("compute.attention") == "eager":
        return False  # set aside with the rest
    return bool(ledger.use("compute.attention", "use_flash_attention_2") == "flash_attention_2")


def _tracker(ledger: Ledger) -> str:
    trackers = ledger.use("report_to", "log")
    if len(trackers) > 1:
        ledger.refuse("report_to", "AutoTrain reports to one tracker", trackers[0])
    for tracker in set(trackers) - {"tensorboard", "wandb"}:
        ledger.refuse("report_to", f"AutoTrain does not report to {tracker}", "tensorboard or wandb")
    return trackers[0] if trackers else "none"


def _refuse(ledger: Ledger) -> None:
    """All that AutoTrain cannot be told, from the tables."""
    method = ledger.spec.method.type
    ledger.use("method", "task")
    ledger.use("method.type", "task")
    ledger.require_values(ONLY | (PACKED if method == "sft" else UNPACKED))
    ledger.refuse_unsendable(OWN)
    if method == "orpo" and ledger.value("method.beta") != 0.1:
        ledger.refuse("method.beta", "AutoTrain's ORPO always has a beta of 0.1", "0.1")
    for field in ("push_to_hub", "hub_model_id"):
        if ledger.use(field):
            ledger.refuse(field, "AutoTrain never uploads by itself here", "push the artifact once it is fetched")
    ledger.use("compute.timeout", "the job's deadline")
    ledger.use("dataset", "data")
    takes = FORMATS.get(method)
    if takes and ledger.spec.dataset.format not in takes:
        ledger.refuse("dataset.format", f"{method} does not learn from this format", ", ".join(sorted(takes)))
    for path in ledger.spec.dataset.paths:
        if "://" in path and not path.startswith(SCHEMES):
            ledger.refuse("dataset.path", "rows are not taken from there", f"give a file, or {', '.join(SCHEMES)}...")
    template = ledger.spec.dataset.chat_template
    if template and not Path(template).expanduser().is_file():
        ledger.refuse("dataset.chat_template", f"there is no file {template}", "give a Jinja file")
    ledger.ignore_advice(ADVICE, "AutoTrain has no setting for it")


def _rows(spec: JobSpec, commits: Mapping[str, str], revision: str | None) -> dict[str, Any]:
    """What the runner is told beside AutoTrain's own configuration."""
    given = spec.dataset
    paths = [str(Path(path).expanduser().absolute()) if is_local(path) else path for path in given.paths]
    template = given.chat_template and str(Path(given.chat_template).expanduser().absolute())
    pinned = {"revision": commits["dataset"]} if "dataset" in commits else {}
    return {
        "method": spec.method.type,
        "dataset": {**given.model_dump(mode="json"), "path": paths, "chat_template": template, **pinned},
        "max_length": spec.training.max_length,
        "trust_remote_code": spec.trust_remote_code,
        "model_revision": revision,
    }


def _warnings(spec: JobSpec, machine: Machine) -> list[str]:
    said = ["AutoTrain holds a base that is not quantized in float32: four bytes for each weight"]
    if spec.compute.quantization and machine.cuda:
        said = ["AutoTrain computes with a 4-bit base in float16, also on cards that have bfloat16"]
    if spec.method.type == "reward_modeling":
        said.append("AutoTrain leaves out pairs that are longer than max_length; the log tells how many")
    return said
