"""Read the settings of a LLaMA-Factory file: model, method, adapter, training, machine."""

import re
from collections.abc import Mapping
from typing import Any

from ftsdk.importer import Sheet
from ftsdk_llamafactory.translate import ADAPTER, ATTENTION, NAME, QUANTIZATIONS, SENT

DEFAULTS: Mapping[str, Any] = {
    "learning_rate": 5e-5,
    "lr_scheduler_type": "linear",
    "num_train_epochs": 3.0,
    "cutoff_len": 2048,
    "optim": "adamw_torch_fused",
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "adam_epsilon": 1e-8,
    "weight_decay": 0.0,
    "max_grad_norm": 1.0,
    "seed": 42,
    "logging_steps": 500,
    "save_steps": 500,
    "warmup_steps": 0,
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 1,
    "lora_rank": 8,
    "lora_dropout": 0.0,
    "lora_target": "all",
    "use_dora": False,
    "use_rslora": False,
    "pref_beta": 0.1,
    "pref_loss": "sigmoid",
    "dpo_label_smoothing": 0.0,
    "kto_chosen_weight": 1.0,
    "kto_rejected_weight": 1.0,
    "quantization_type": "nf4",
    "double_quantization": True,
    "flash_attn": "auto",
    "stage": "sft",
    "finetuning_type": "lora",
    "save_strategy": "steps",
    "logging_strategy": "steps",
    "eval_strategy": "no",
    "report_to": "none",
    "val_size": 0.0,
    "trust_remote_code": False,
    "dataset_dir": "data",
}
"""What LLaMA-Factory takes where the file says nothing."""

STAGES = {"sft": "sft", "pt": "sft", "dpo": "dpo", "kto": "kto", "rm": "reward_modeling", "ppo": "ppo"}
LOSSES = {"sigmoid": "sigmoid", "hinge": "hinge", "ipo": "ipo", "orpo": "orpo"}
OPTIMIZERS = {
    "adamw_torch": "adamw_torch",
    "adamw_torch_fused": "adamw_torch",
    "adamw_8bit": "adamw_8bit",
    "adamw_bnb_8bit": "adamw_8bit",
    "paged_adamw": "paged_adamw_32bit",
    "paged_adamw_32bit": "paged_adamw_32bit",
    "paged_adamw_8bit": "paged_adamw_8bit",
    "adafactor": "adafactor",
    "sgd": "sgd",
}
SCHEDULES = {
    name: name
    for name in (
        "linear",
        "cosine",
        "cosine_with_restarts",
        "polynomial",
        "constant",
        "constant_with_warmup",
        "inverse_sqrt",
    )
}
TRACKERS = ("tensorboard", "wandb", "mlflow", "trackio")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}")
_BOOLEANS = frozenset({"trust_remote_code", "use_dora", "use_rslora", "double_quantization"})
_SAY_STEPS = "ftsdk counts in optimizer steps"
_WORDED = {"training.optim": OPTIMIZERS, "training.lr_scheduler_type": SCHEDULES}


def read_settings(sheet: Sheet) -> tuple[str, str]:
    """Set all fields but the datasets; gives the model and the stage."""
    model = _model(sheet)
    stage = _method(sheet)
    _adapter(sheet)
    _training(sheet)
    _length(sheet, stage)
    _held_out(sheet)
    _cadence(sheet)
    _compute(sheet)
    _reports(sheet)
    return model, stage


def _copy(sheet: Sheet, key: str, field: str) -> Any:
    """Take a value over as it is."""
    default = DEFAULTS[key]
    if key in _BOOLEANS:
        value: Any = sheet.flag(key, default=default)
    else:
        value = sheet.number(key, default)
    sheet.put(field, value, key)
    return value


def _model(sheet: Sheet) -> str:
    model = sheet.text("model_name_or_path", "")
    if not model:
        sheet.refuse("model_name_or_path", "LLaMA-Factory needs a model")
    sheet.put("model", model, "model_name_or_path")
    if (revision := sheet.value("model_revision", "main")) != "main":
        sheet.put("model_revision", revision, "model_revision")
    _copy(sheet, "trust_remote_code", "trust_remote_code")
    if not sheet.flag("do_train"):
        sheet.refuse("do_train", "without it, LLaMA-Factory trains nothing", "do_train: true")
    return model


def _method(sheet: Sheet) -> str:
    stage = str(sheet.value("stage", DEFAULTS["stage"]))
    method = sheet.word("stage", DEFAULTS["stage"], STAGES)
    if method == "ppo":
        what = "its PPO draws answers with top_p and top_k, and steers the KL by a horizon"
        sheet.refuse("stage", what, "write the job anew: docs/methods/ppo.md")
    elif method == "dpo":
        loss = sheet.word("pref_loss", DEFAULTS["pref_loss"], LOSSES)
        method = "orpo" if loss == "orpo" else "dpo"
        _copy(sheet, "pref_beta", "method.beta")
        if method == "dpo":
            sheet.put("method.loss_type", loss, "pref_loss")
            _copy(sheet, "dpo_label_smoothing", "method.label_smoothing")
    elif method == "kto":
        _copy(sheet, "pref_beta", "method.beta")
        _copy(sheet, "kto_chosen_weight", "method.desirable_weight")
        _copy(sheet, "kto_rejected_weight", "method.undesirable_weight")
    elif method == "reward_modeling":
        sheet.differ("stage", "LLaMA-Factory's score is a value head's; ftsdk's is a classification head's")
    elif method == "sft":
        _train_on(sheet, stage)
    sheet.put("method.type", method, "stage")
    return stage


def _train_on(sheet: Sheet, stage: str) -> None:
    """Which tokens carry loss: LLaMA-Factory masks what the user says, turn by turn."""
    whole, last = sheet.flag("train_on_prompt"), sheet.flag("mask_history")
    if whole and last:
        sheet.refuse("mask_history", "contradicts train_on_prompt", "keep one of them")
    train_on = "all" if whole or stage == "pt" else "completion" if last else "assistant"
    sheet.put("method.train_on", train_on, "mask_history" if last else "train_on_prompt")


def _adapter(sheet: Sheet) -> None:
    kind = sheet.word("finetuning_type", DEFAULTS["finetuning_type"], {"lora": "lora", "full": "full"})
    if kind == "full":
        sheet.put("adapter", None, "finetuning_type")
    if kind != "lora":
        return
    for field, key in ADAPTER.items():
        _copy(sheet, key, field)
    alpha = sheet.number("lora_alpha") or 2 * sheet.number("lora_rank", DEFAULTS["lora_rank"])
    sheet.put("adapter.alpha", alpha, "lora_alpha", default=f"adapter.alpha: {alpha}, twice lora_rank")
    names = sheet.several("lora_target", [DEFAULTS["lora_target"]])
    sheet.put("adapter.target_modules", "all-linear" if names == ["all"] else names, "lora_target")
    if sheet.flag("pissa_init"):
        if sheet.number("pissa_iter", 16) == -1:
            sheet.put("adapter.init", "pissa", "pissa_init")
        else:
            sheet.refuse("pissa_init", "a fast decomposition has no equal", "pissa_iter: -1, which is exact")


def _training(sheet: Sheet) -> None:
    elsewhere = {"training.num_train_epochs", "training.max_length", "training.logging_steps"}
    for field, key in SENT.items():
        if field in _WORDED:
            sheet.put(field, sheet.word(key, DEFAULTS[key], _WORDED[field], field), key)
        elif field not in elsewhere and key in DEFAULTS:
            _copy(sheet, key, field)
    if (steps := sheet.number("max_steps", -1)) > 0:
        sheet.put("training.max_steps", steps, "max_steps")
    else:
        _copy(sheet, "num_train_epochs", "training.num_train_epochs")
    _warmup(sheet)
    size = sheet.number("per_device_train_batch_size", DEFAULTS["per_device_train_batch_size"])
    accumulated = sheet.number("gradient_accumulation_steps", DEFAULTS["gradient_accumulation_steps"])
    if isinstance(size, int) and isinstance(accumulated, int):
        sheet.put("training.global_batch_size", size * accumulated, "per_device_train_batch_size")
        sheet.differ(
            "per_device_train_batch_size",
            f"{size * accumulated} rows a step is for one device; on several, LLaMA-Factory took so many for each",
        )
    sheet.put("compute.per_device_train_batch_size", size, "per_device_train_batch_size")
    if (alpha := sheet.number("neftune_noise_alpha")) is not None:
        sheet.put("training.neftune_noise_alpha", alpha, "neftune_noise_alpha")
    if sheet.number("data_seed") not in (None, sheet.fields["training.seed"]):
        sheet.refuse("data_seed", "one seed decides everything here", "give both the same value")


def _warmup(sheet: Sheet) -> None:
    """Steps; below 1, Transformers reads a share of all steps, and a ratio wins."""
    key = "warmup_ratio" if sheet.has("warmup_ratio") else "warmup_steps"
    warmup = sheet.number(key, DEFAULTS["warmup_steps"])
    if isinstance(warmup, float) and 0 < warmup < 1:
        sheet.put("training.warmup_ratio", warmup, key)
    else:
        whole = isinstance(warmup, float) and warmup.is_integer()
        sheet.put("training.warmup_steps", int(warmup) if whole else warmup, key)


def _length(sheet: Sheet, stage: str) -> None:
    length = _copy(sheet, "cutoff_len", "training.max_length")
    neat = sheet.flag("neat_packing")
    packing = neat or sheet.flag("packing", default=stage == "pt")
    if packing and not neat:
        key = "packing" if sheet.has("packing") else "stage"
        fix = "packing: false" if stage == "pt" else "neat_packing: true, which keeps rows apart"
        sheet.refuse(key, "rows in one sequence would see each other", fix)
    if neat:
        sheet.differ("neat_packing", f"rows longer than {length} tokens: LLaMA-Factory drops them, ftsdk cuts them")
    else:
        sheet.differ(
            "cutoff_len",
            f"rows longer than {length} tokens: LLaMA-Factory shortens prompt and answer, ftsdk cuts the end, and"
            " counts them",
        )
    sheet.put("training.packing", neat, "neat_packing")


def _held_out(sheet: Sheet) -> None:
    size = _copy(sheet, "val_size", "val_size")
    if size:
        sheet.differ("val_size", "as many rows are held out, but other ones: ftsdk draws them itself")
    held = bool(size) or sheet.has("eval_dataset")
    strategy = str(sheet.value("eval_strategy", DEFAULTS["eval_strategy"])).lower()
    strategy = "no" if strategy == "false" else strategy  # YAML 1.1 reads no as false
    if held and strategy == "no":
        sheet.drop("eval_strategy", "ftsdk looks at the held-out rows after each epoch")
    elif held and strategy == "steps":
        key = "eval_steps" if sheet.has("eval_steps") else "logging_steps"
        _steps(sheet, key, sheet.number(key, DEFAULTS["logging_steps"]), "training.eval_steps")
    elif held and strategy == "epoch":
        sheet.put("training.eval_steps", None, "eval_strategy")
    elif strategy not in ("no", "steps", "epoch"):
        sheet.refuse("eval_strategy", "this value has no equal here", "no, steps or epoch")
    _early_stop(sheet)


def _early_stop(sheet: Sheet) -> None:
    patience, best = sheet.number("early_stopping_steps"), sheet.flag("load_best_model_at_end")
    metric = sheet.value("metric_for_best_model", "loss")
    if patience is None and not best:
        return
    if patience is None:
        what = "the best checkpoint is kept at the end only where a job may stop early"
        sheet.refuse("load_best_model_at_end", what, "set it to false", field="training.early_stopping_patience")
    elif not best:
        sheet.refuse("early_stopping_steps", "a job that stops early keeps its best checkpoint", _BEST)
    elif metric not in ("loss", "eval_loss") or sheet.flag("greater_is_better"):
        sheet.refuse("metric_for_best_model", "the held-out loss decides", "metric_for_best_model: eval_loss")
    else:
        sheet.put("training.early_stopping_patience", patience, "early_stopping_steps")


_BEST = "load_best_model_at_end: true"


def _cadence(sheet: Sheet) -> None:
    if sheet.value("logging_strategy", DEFAULTS["logging_strategy"]) == "steps":
        each = sheet.number("logging_steps", DEFAULTS["logging_steps"])
        _steps(sheet, "logging_steps", each, "training.logging_steps")
    else:
        sheet.drop("logging_strategy", "ftsdk tells the loss at each step")
    strategy = str(sheet.value("save_strategy", DEFAULTS["save_strategy"])).lower()
    if strategy in ("no", "false"):
        sheet.drop("save_strategy", "ftsdk saves ten checkpoints over the run, to go on from")
    elif strategy == "steps":
        each = sheet.number("save_steps", DEFAULTS["save_steps"])
        if each == _TENTH:  # of all steps, which is ours
            sheet.put("training.save_steps", None, "save_steps")
        else:
            _steps(sheet, "save_steps", each, "training.save_steps")
    else:
        sheet.refuse("save_strategy", f"{strategy}: {_SAY_STEPS}", field="training.save_steps")
    limit = sheet.number("save_total_limit")
    told = "training.save_total_limit: 2, where LLaMA-Factory keeps every checkpoint"
    sheet.put("training.save_total_limit", 2 if limit is None else limit, "save_total_limit", default=told)
    if limit == 1:
        sheet.put("training.save_total_limit", 2, "save_total_limit")
        sheet.drop("save_total_limit", "ftsdk keeps two checkpoints at least")


_TENTH = 0.1


def _steps(sheet: Sheet, key: str, value: Any, field: str) -> None:
    if isinstance(value, float) and 0 < value < 1:
        sheet.refuse(key, f"a share of all steps: {_SAY_STEPS}", field=field)
    else:
        whole = isinstance(value, float) and value.is_integer()
        sheet.put(field, int(value) if whole else value, key)


def _compute(sheet: Sheet) -> None:
    _quantization(sheet)
    bf16, fp16 = sheet.flag("bf16"), sheet.flag("fp16")
    if bf16 and fp16:
        sheet.refuse("fp16", "contradicts bf16", "keep one of them")
    told = "compute.dtype: float32, which here means no mixed precision"
    dtype = "bfloat16" if bf16 else "float16" if fp16 else "float32"
    sheet.put("compute.dtype", dtype, "fp16" if fp16 else "bf16", default=told)
    ours = {theirs: attention for attention, theirs in ATTENTION.items()}
    sheet.put("compute.attention", sheet.word("flash_attn", DEFAULTS["flash_attn"], ours), "flash_attn")
    checkpointing = not sheet.flag("disable_gradient_checkpointing") or sheet.flag("gradient_checkpointing")
    sheet.put("compute.gradient_checkpointing", checkpointing, "disable_gradient_checkpointing")
    if sheet.flag("use_cpu"):
        sheet.put(f"backend_options.{NAME}.device", "cpu", "use_cpu")
    if sheet.flag("enable_liger_kernel"):
        sheet.put(f"backend_options.{NAME}.enable_liger_kernel", True, "enable_liger_kernel")


def _quantization(sheet: Sheet) -> None:
    bits = sheet.number("quantization_bit")
    if bits is None:
        return
    kind = sheet.value("quantization_type", DEFAULTS["quantization_type"]) if bits == 4 else ""
    asked = {"quantization_bit": bits} | ({"quantization_type": kind} if kind else {})
    found = [name for name, native in QUANTIZATIONS.items() if native == asked]
    if str(sheet.value("quantization_method", "bnb")).lower() not in ("bnb", "bitsandbytes"):
        sheet.refuse("quantization_method", "the base is quantized by bitsandbytes", "quantization_method: bnb")
    elif not found:
        sheet.refuse("quantization_bit", "these bits have no equal here", "4 with nf4 or fp4, or 8")
    else:
        sheet.put("compute.quantization", found[0], "quantization_bit")
        if bits == 4:
            _copy(sheet, "double_quantization", "compute.double_quantization")


def _reports(sheet: Sheet) -> None:
    wanted = [name for name in sheet.several("report_to", [DEFAULTS["report_to"]]) if name not in ("none", "")]
    if odd := [name for name in wanted if name not in TRACKERS]:
        sheet.refuse("report_to", f"{', '.join(odd)}: not spoken to", f"those that are: {', '.join(TRACKERS)}")
    else:
        sheet.put("report_to", wanted, "report_to")
    name = sheet.value("run_name")
    if name is not None and _NAME.fullmatch(str(name)):
        sheet.put("name", str(name), "run_name")
    elif name is not None:
        sheet.drop("run_name", "has letters that a job's name may not have")
    if sheet.flag("push_to_hub"):
        sheet.put("push_to_hub", True, "push_to_hub")
        if sheet.has("hub_model_id"):
            sheet.put("hub_model_id", sheet.value("hub_model_id"), "hub_model_id")
