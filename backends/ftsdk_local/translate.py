"""Translate a spec into the local engine's settings. Pure but for reading the model's own config file."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from ftsdk.backend import Plan, PlanNote
from ftsdk.data.download import SCHEMES
from ftsdk.forecast import LOGIT_ROWS, MemoryEstimate, TrainerProfile, estimate_memory
from ftsdk.huggingface.revisions import Pins, pin_warnings, pinned_commits
from ftsdk.modeling.settings import ModelSettings
from ftsdk.spec import PPO, SFT, Dataset, JobSpec
from ftsdk.spec.adapter import BASE_CHANGING_INITS
from ftsdk.translation.dataset_paths import with_absolute_paths
from ftsdk.translation.ledger import Ledger
from ftsdk.translation.model_config import check_base, model_warnings
from ftsdk.translation.model_folder_checks import model_problems
from ftsdk.translation.model_source import config_of
from ftsdk.workers.hardware import Machine
from ftsdk_local.methods import SAMPLING, options_of, refuse_incompatible
from ftsdk_local.settings import DataSettings, Settings
from ftsdk_local.sources import NAME, InitialModel, find_model, find_reward

QUANTIZATIONS: Mapping[str, dict[str, Any]] = {
    "nf4": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
    "fp4": {"load_in_4bit": True, "bnb_4bit_quant_type": "fp4"},
    "int8": {"load_in_8bit": True},
}

OPTIMIZERS = {
    "adamw_torch": "adamw_torch_fused",
    "adamw_8bit": "adamw_8bit",
    "paged_adamw_8bit": "paged_adamw_8bit",
    "paged_adamw_32bit": "paged_adamw_32bit",
    "adafactor": "adafactor",
    "sgd": "sgd",
}
"""From a spec's optimizer to Transformers' name; fused AdamW computes the same, faster."""

ARGUMENTS = {
    "training.num_train_epochs": "num_train_epochs",
    "training.learning_rate": "learning_rate",
    "training.lr_scheduler_type": "lr_scheduler_type",
    "training.global_batch_size": "per_device_train_batch_size",
    "training.adam_beta1": "adam_beta1",
    "training.adam_beta2": "adam_beta2",
    "training.adam_epsilon": "adam_epsilon",
    "training.weight_decay": "weight_decay",
    "training.max_grad_norm": "max_grad_norm",
    "training.seed": "seed",
    "training.logging_steps": "logging_steps",
    "training.save_total_limit": "save_total_limit",
}
"""Fields that Trainer takes as they are. Its device batch is a whole step: the engine splits it into micro-batches."""

ADAPTER = {
    "adapter.r": "r",
    "adapter.alpha": "lora_alpha",
    "adapter.dropout": "lora_dropout",
    "adapter.use_dora": "use_dora",
    "adapter.use_rslora": "use_rslora",
}

TASKS = {"reward_modeling": "SEQ_CLS"}
"""PEFT's type of task, where it is not CAUSAL_LM."""

INITS: Mapping[str, bool | str] = {"default": True, "gaussian": "gaussian", "pissa": "pissa", "olora": "olora"}

TRACKERS = {"tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlflow", "trackio": "trackio"}
"""From a tracker to the module that it needs."""

GPU_ONLY = {
    ("compute.dtype", "float16"): ("float16 trains on GPUs only", "auto, bfloat16 or float32"),
    ("compute.attention", "flash_attention_2"): ("flash attention runs on GPUs only", "auto"),
}
"""Values that need an NVIDIA device, with the reason and what to set instead."""


class Translation(NamedTuple):
    """A spec as the engine's settings, with what its plan shows beside them."""

    settings: Settings
    warnings: tuple[str, ...]
    """About the model."""
    memory_estimate: MemoryEstimate
    """Empty where the model's dimensions are not on this disk."""
    backends_own: tuple[PlanNote, ...]
    """What the engine decides by itself."""


def plan(spec: JobSpec, machine: Machine, pins: Pins = MappingProxyType({})) -> Plan:
    """The engine's settings for a spec, and what becomes of each field.

    Args:
        spec: What the user means.
        machine: What this machine has.
        pins: The commits of the repositories in the spec.

    Raises:
        UnsupportedSpec: With every field that the engine cannot honour.
    """
    ledger = Ledger(NAME, spec)
    translation = translate(ledger, machine, pins)
    _refuse_missing_trackers(ledger)
    ledger.use("compute.timeout", "the worker's deadline")
    ledger.close()
    return Plan(
        backend=NAME,
        spec=spec,
        native=translation.settings.model_dump(mode="json"),
        honoured=ledger.honoured,
        set_aside=tuple(ledger.set_aside),
        backends_own=translation.backends_own,
        **translation.memory_estimate.fields,
        device=machine.name,
        device_memory=machine.memory,
        price=0.0,
        warnings=(*pin_warnings(pins), *translation.warnings),
    )


def translate(ledger: Ledger, machine: Machine, pins: Pins) -> Translation:
    """The engine's settings, wherever it runs; what it cannot honour is refused in the ledger.

    Args:
        ledger: Of the spec.
        machine: What the engine will run on.
        pins: The commits of the repositories in the spec.
    """
    spec, commits = ledger.spec, pinned_commits(ledger, pins)
    model = find_model(ledger, commits.get("model"))
    sampling = spec.method.type in SAMPLING
    settings = Settings(
        method=spec.method.type,
        options=options_of(ledger),
        reward=find_reward(ledger, commits.get("method.reward")) if sampling else None,
        adapter_from=str(model.adapter) if model.adapter else None,
        model=_model(ledger, model),
        data=_data(ledger, commits),
        lora=_lora(ledger, model),
        arguments=_arguments(ledger),
        micro_batch_rows=ledger.use("compute.per_device_train_batch_size", "micro_batch_rows"),
        gradient_checkpointing=ledger.use("compute.gradient_checkpointing"),
        memory_limit=ledger.use("compute.memory_limit"),
        quantization_aware=spec.training.quantization_aware,
        neftune_noise_alpha=ledger.use("training.neftune_noise_alpha"),
        save_steps=ledger.use("training.save_steps"),
        eval_steps=ledger.use("training.eval_steps"),
        early_stopping_patience=ledger.use("training.early_stopping_patience"),
        early_stopping_threshold=ledger.use("training.early_stopping_threshold"),
        hub_model_id=_hub_model_id(ledger),
    )
    check_base(ledger, model.name, model.revision)
    refuse_incompatible(ledger)
    _refuse_unsupported_by_engine(ledger)
    _refuse_unsupported_by_machine(ledger, machine)
    notices = (*map(str, model_problems(spec.model)), *model_warnings(spec, model.name, model.revision))
    return Translation(settings, notices, _estimate(spec, model, machine), _backends_own(spec))


def _model(ledger: Ledger, model: InitialModel) -> ModelSettings:
    quantization = ledger.use("compute.quantization", "quantization_config")
    options = dict(QUANTIZATIONS[quantization]) if quantization else None
    double = ledger.use("compute.double_quantization", "bnb_4bit_use_double_quant")
    if options and "load_in_4bit" in options:
        options["bnb_4bit_use_double_quant"] = double
    return ModelSettings(
        name=model.name,
        revision=model.revision,
        dtype=ledger.use("compute.dtype"),
        quantization=options,
        attention=ledger.use("compute.attention", "attn_implementation"),
        trust_remote_code=ledger.use("trust_remote_code"),
    )


def _absolute_dataset(ledger: Ledger, field: str, commit: str | None) -> Any:
    """The dataset with absolute paths, because the worker runs in another folder; None where there is none."""
    dataset: Dataset | None = ledger.use(field)
    if dataset is None:
        return None
    for path in dataset.paths:
        if "://" in path and not path.startswith(SCHEMES):
            ledger.refuse(
                f"{field}.path", "rows cannot be read from such a URL", f"give a file, or {', '.join(SCHEMES)}..."
            )
    absolute = with_absolute_paths(dataset, commit)
    template = absolute.chat_template
    if template and not Path(template).is_file():
        ledger.refuse(f"{field}.chat_template", f"there is no file {template}", "give a Jinja file")
    return absolute


def _data(ledger: Ledger, commits: Mapping[str, str]) -> DataSettings:
    method = ledger.value("method")
    return DataSettings(
        dataset=_absolute_dataset(ledger, "dataset", commits.get("dataset")),
        eval_dataset=_absolute_dataset(ledger, "eval_dataset", commits.get("eval_dataset")),
        val_size=ledger.use("val_size"),
        train_on=ledger.use("method.train_on") if isinstance(method, SFT) else "all",
        max_length=ledger.use("training.max_length"),
        packing=ledger.use("training.packing"),
    )


def _lora(ledger: Ledger, model: InitialModel) -> dict[str, Any] | None:
    if ledger.use("adapter") is None:
        return None
    targets = ledger.use("adapter.target_modules")
    settings = {
        **{native: ledger.use(field, native) for field, native in ADAPTER.items()},
        "target_modules": targets if isinstance(targets, str) else list(targets),
        "init_lora_weights": INITS[ledger.use("adapter.init", "init_lora_weights")],
    }
    return {
        "task_type": TASKS.get(ledger.spec.method.type, "CAUSAL_LM"),
        "bias": "none",
        **(_keep_adapter(ledger, settings, model.lora) if model.lora else settings),
    }


def _keep_adapter(ledger: Ledger, settings: dict[str, Any], adapter: dict[str, Any]) -> dict[str, Any]:
    """The settings of an adapter to continue from; what the spec sets must be the same."""
    assert ledger.spec.adapter is not None
    fields = {**ADAPTER, "adapter.target_modules": "target_modules", "adapter.init": "init_lora_weights"}
    for field, native in fields.items():
        is_set = field.partition(".")[2] in ledger.spec.adapter.model_fields_set
        if is_set and native in adapter and _comparable(settings[native]) != _comparable(adapter[native]):
            problem = f"the adapter to continue from has {native}={adapter[native]}"
            ledger.refuse(field, problem, "leave it out, to use the adapter as it is")
    return {**settings, **adapter}


def _comparable(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) else value


def _arguments(ledger: Ledger) -> dict[str, Any]:
    arguments = {native: ledger.use(field, native) for field, native in ARGUMENTS.items()}
    steps, ratio = ledger.use("training.warmup_steps"), ledger.use("training.warmup_ratio", "warmup_steps")
    return {
        **arguments,
        "max_steps": ledger.use("training.max_steps") or -1,
        "warmup_steps": ratio if steps is None else steps,  # below 1, Transformers reads a share of all steps
        "optim": OPTIMIZERS[ledger.use("training.optim", "optim")],
        "gradient_accumulation_steps": 1,
        "data_seed": arguments["seed"],
        "report_to": list(ledger.use("report_to")),
        "run_name": ledger.spec.name,
    }


def _hub_model_id(ledger: Ledger) -> str | None:
    ledger.use("push_to_hub", "upload_folder")
    return ledger.use("hub_model_id", "repo_id") if ledger.spec.push_to_hub else None


def _refuse_unsupported_by_engine(ledger: Ledger) -> None:
    spec = ledger.spec
    if ledger.use("training.quantization_aware") and find_spec("torchao") is None:
        problem = "torchao, which rounds the weights, is not installed"
        ledger.refuse("training.quantization_aware", problem, "pip install 'ftsdk[quantize]'")
    if ledger.value("adapter.init") in BASE_CHANGING_INITS and spec.compute.quantization is not None:
        problem = "it changes the base's own weights, which cannot be done once they are quantized"
        ledger.refuse("adapter.init", problem, "default or gaussian; or compute.quantization=none")
    for field in ("compute.devices", "compute.nodes"):
        if ledger.value(field) > 1:
            ledger.ignore(field, "the local engine trains on one device")
        else:
            ledger.use(field)


def _refuse_missing_trackers(ledger: Ledger) -> None:
    for tracker in ledger.spec.report_to:
        if find_spec(TRACKERS[tracker]) is None:
            ledger.refuse("report_to", f"{tracker} is not installed", "pip install 'ftsdk[trackers]'")


def _refuse_unsupported_by_machine(ledger: Ledger, machine: Machine) -> None:
    for (field, value), (reason, fix) in GPU_ONLY.items():
        if ledger.value(field) == value and not machine.cuda:
            ledger.refuse(field, reason, fix)


def _backends_own(spec: JobSpec) -> tuple[PlanNote, ...]:
    """What the worker decides, where the device and the rows are known; the job's log has the decisions."""
    undecided = {
        "compute.dtype": (spec.compute.dtype == "auto", "bfloat16 where the device computes in it"),
        "compute.per_device_train_batch_size": (
            spec.compute.per_device_train_batch_size is None,
            "as many as fit; see the log",
        ),
        "compute.gradient_checkpointing": (
            spec.compute.gradient_checkpointing is None,
            "only where memory requires it",
        ),
        "training.save_steps": (spec.training.save_steps is None, "ten checkpoints over the run"),
    }
    if isinstance(method := spec.method, PPO):
        steps = method.num_ppo_epochs * method.num_mini_batches
        undecided["training.max_steps"] = (True, f"a step is one update of PPO: {steps} steps of the optimizer")
    return tuple(PlanNote(field, text) for field, (open_, text) in undecided.items() if open_)


def _estimate(spec: JobSpec, model: InitialModel, machine: Machine) -> MemoryEstimate:
    """The memory estimate, where the model's dimensions are known without a download."""
    profile = TrainerProfile(
        width=4 if spec.compute.dtype == "float32" or not (machine.cuda or spec.compute.dtype == "bfloat16") else 2,
        checkpointing=spec.compute.gradient_checkpointing is not False,
        cuda=machine.cuda,
        logit_rows=LOGIT_ROWS,
        score_matrix=spec.compute.attention == "eager",
        autocast=machine.cuda or spec.adapter is None,
    )
    rows = spec.compute.per_device_train_batch_size or 1
    return estimate_memory(spec, config_of(model.name, model.revision), profile, rows=rows)
