"""Read the settings of an Axolotl file: model, method, adapter, training, machine."""

import math
import re
from collections.abc import Mapping
from typing import Any

from ftsdk.importer import Sheet

DEFAULTS: Mapping[str, Any] = {
    "trust_remote_code": False,
    "lora_dropout": 0.0,
    "peft_use_dora": False,
    "peft_use_rslora": False,
    "val_set_size": 0.0,
    "sequence_len": 512,
    "lr_scheduler": "cosine",
    "num_epochs": 1.0,
    "micro_batch_size": 1,
    "gradient_accumulation_steps": 1,
    "optimizer": "adamw_torch_fused",
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "adam_epsilon": 1e-8,
    "weight_decay": 0.0,
    "max_grad_norm": 1.0,
    "seed": 42,
    "save_total_limit": 4,
    "rl_beta": 0.1,
    "dpo_label_smoothing": 0.0,
    "kto_desirable_weight": 1.0,
    "kto_undesirable_weight": 1.0,
    "center_rewards_coefficient": 0.0,
}
"""What Axolotl takes where the file says nothing: its own default, or else that of Transformers or TRL."""

_COPIED = {
    "max_grad_norm": "training.max_grad_norm",
    "weight_decay": "training.weight_decay",
    "adam_beta1": "training.adam_beta1",
    "adam_beta2": "training.adam_beta2",
    "adam_epsilon": "training.adam_epsilon",
    "seed": "training.seed",
    "save_total_limit": "training.save_total_limit",
}
METHODS = {"dpo": "dpo", "ipo": "dpo", "kto": "kto", "orpo": "orpo"}
LOSSES = {"sigmoid": "sigmoid", "hinge": "hinge", "ipo": "ipo"}
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
INITS = {"true": "default", "gaussian": "gaussian", "pissa": "pissa", "olora": "olora"}
ATTENTION = {"sdpa": "sdpa", "eager": "eager", "flash_attention_2": "flash_attention_2"}
_FLAGS = {
    "xformers_attention": "xformers",
    "sage_attention": "sage",
    "flex_attention": "flex_attention",
    "flash_attention": "flash_attention_2",
    "sdp_attention": "sdpa",
    "eager_attention": "eager",
}
"""Old switches, the first of which counts."""
KERNELS = ("liger.LigerPlugin", "cut_cross_entropy.CutCrossEntropyPlugin")
TRACKERS = {"wandb": "wandb_project", "mlflow": "mlflow_experiment_name", "tensorboard": "", "trackio": ""}
"""From a tracker to the key that also turns it on."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}")
_SAY_STEPS = "ftsdk counts in optimizer steps"
_TENTH = 0.1


def read_settings(sheet: Sheet) -> tuple[str, str]:
    """Set all fields but the datasets; gives the model and the method."""
    model = _model(sheet)
    method = _method(sheet)
    _adapter(sheet)
    _training(sheet)
    _length(sheet)
    _held_out(sheet)
    _saving(sheet)
    _precision(sheet)
    _kernels(sheet)
    _reports(sheet)
    return model, method


def _copy(sheet: Sheet, key: str, field: str) -> Any:
    default = DEFAULTS[key]
    value = sheet.flag(key, default=default) if isinstance(default, bool) else sheet.number(key, default)
    sheet.put(field, value, key)
    return value


def _model(sheet: Sheet) -> str:
    model = sheet.text("base_model", "")
    if not model:
        sheet.refuse("base_model", "Axolotl needs a model")
    sheet.put("model", model, "base_model")
    for key in ("model_revision", "revision_of_model"):
        if sheet.has(key):
            sheet.put("model_revision", sheet.value(key), key)
    for key in ("tokenizer_config", "base_model_config"):
        if sheet.value(key, model) != model:
            sheet.refuse(key, "model and tokenizer come from one place", "save both in one folder, and name that")
    _copy(sheet, "trust_remote_code", "trust_remote_code")
    tokens = sheet.section("special_tokens", {})
    if {name for name, token in tokens.items() if token} - {"pad_token"}:
        what = "it changes how rows begin and end"
        sheet.refuse("special_tokens", what, "keep pad_token alone, or save the changed tokenizer with the model")
    elif tokens:
        sheet.drop("special_tokens", "padding is never learned")
    return model


def _method(sheet: Sheet) -> str:
    if sheet.flag("reward_model"):
        _copy(sheet, "center_rewards_coefficient", "method.center_rewards_coefficient")
        sheet.put("method.type", "reward_modeling", "reward_model")
        return "reward_modeling"
    if not sheet.has("rl"):
        sheet.value("rl")
        sheet.put("method.type", "sft")
        return "sft"
    kind = sheet.value("rl")
    method = str(sheet.word("rl", "", METHODS))
    sheet.put("method.type", method, "rl")
    _beta(sheet)
    if method == "dpo":
        losses = ["ipo"] if kind == "ipo" else sheet.several("dpo_loss_type", ["sigmoid"])
        if len(losses) == 1 and losses[0] in LOSSES:
            sheet.put("method.loss_type", LOSSES[losses[0]], "dpo_loss_type" if kind != "ipo" else "rl")
        else:
            sheet.refuse("dpo_loss_type", "this loss has no equal here", f"one of {', '.join(LOSSES)}")
        if kind != "ipo":
            _copy(sheet, "dpo_label_smoothing", "method.label_smoothing")
    elif method == "kto":
        _copy(sheet, "kto_desirable_weight", "method.desirable_weight")
        _copy(sheet, "kto_undesirable_weight", "method.undesirable_weight")
    return method


def _beta(sheet: Sheet) -> None:
    """Axolotl looks at these keys one after the other."""
    trl = sheet.section("trl", {})
    if trl.keys() - {"beta"}:
        sheet.refuse("trl", "of TRL's settings, only beta has an equal", "keep beta alone")
        return
    if "beta" in trl:
        sheet.put("method.beta", trl["beta"], "trl")
        return
    key = next((key for key in ("rl_beta", "dpo_beta", "orpo_alpha") if sheet.has(key)), "rl_beta")
    sheet.put("method.beta", sheet.number(key, DEFAULTS["rl_beta"]), key)


def _adapter(sheet: Sheet) -> None:
    kind = sheet.value("adapter")
    four, eight = sheet.flag("load_in_4bit"), sheet.flag("load_in_8bit")
    if not kind:
        sheet.put("adapter", None, "adapter")
        if four or eight:
            sheet.refuse("load_in_4bit" if four else "load_in_8bit", "the base is frozen, and nothing would train", "")
        return
    if kind not in ("lora", "qlora"):
        sheet.refuse("adapter", "this adapter has no equal here", "lora or qlora")
        return
    if (kind == "qlora") != four or (four and eight):
        sheet.refuse("adapter", "Axolotl loads 4 bits with qlora, and 8 bits or none with lora", "make them agree")
    if four:
        _four_bits(sheet)
    elif eight:
        sheet.put("compute.quantization", "int8", "load_in_8bit")
    for key in ("lora_r", "lora_alpha"):
        if not sheet.has(key):
            sheet.refuse(key, "Axolotl has no default for it", f"{key}: N")
        sheet.put("adapter.r" if key == "lora_r" else "adapter.alpha", sheet.number(key), key)
    _copy(sheet, "lora_dropout", "adapter.dropout")
    _copy(sheet, "peft_use_dora", "adapter.use_dora")
    _copy(sheet, "peft_use_rslora", "adapter.use_rslora")
    init = str(sheet.value("peft_init_lora_weights", default=True)).lower()
    if init in INITS:
        sheet.put("adapter.init", INITS[init], "peft_init_lora_weights")
    else:
        sheet.refuse("peft_init_lora_weights", "this beginning has no equal here", f"one of {', '.join(INITS)}")
    _targets(sheet)


def _targets(sheet: Sheet) -> None:
    modules, linear = sheet.value("lora_target_modules"), sheet.flag("lora_target_linear")
    if linear:
        if modules:
            sheet.drop("lora_target_modules", "lora_target_linear takes them all")
        sheet.put("adapter.target_modules", "all-linear", "lora_target_linear")
    elif isinstance(modules, list) and modules:
        sheet.put("adapter.target_modules", modules, "lora_target_modules")
    else:
        what = "a pattern of names has no equal here" if modules else "PEFT would choose them by the model"
        sheet.refuse("lora_target_modules", what, "list them, or lora_target_linear: true")


def _four_bits(sheet: Sheet) -> None:
    more = sheet.section("bnb_config_kwargs", {})
    kind, doubled = more.get("bnb_4bit_quant_type", "nf4"), more.get("bnb_4bit_use_double_quant", True)
    if more.keys() - {"bnb_4bit_quant_type", "bnb_4bit_use_double_quant"} or kind not in ("nf4", "fp4"):
        sheet.refuse("bnb_config_kwargs", "only the type and double quantization have an equal", "keep those alone")
    sheet.put("compute.quantization", kind, "load_in_4bit")
    sheet.put("compute.double_quantization", doubled, "bnb_config_kwargs")


def _training(sheet: Sheet) -> None:
    if not sheet.has("learning_rate"):
        sheet.refuse("learning_rate", "Axolotl has no default for it", "learning_rate: N")
    sheet.put("training.learning_rate", sheet.number("learning_rate"), "learning_rate")
    schedule = sheet.word("lr_scheduler", DEFAULTS["lr_scheduler"], SCHEDULES, "training.lr_scheduler_type")
    sheet.put("training.lr_scheduler_type", schedule, "lr_scheduler")
    optim = sheet.word("optimizer", DEFAULTS["optimizer"], OPTIMIZERS, "training.optim")
    sheet.put("training.optim", optim, "optimizer")
    for key, field in _COPIED.items():
        _copy(sheet, key, field)
    if not sheet.fields["training.save_total_limit"]:
        sheet.put("training.save_total_limit", DEFAULTS["save_total_limit"], "save_total_limit")
    if (steps := sheet.number("max_steps", 0)) > 0:
        sheet.put("training.max_steps", steps, "max_steps")
    else:
        _copy(sheet, "num_epochs", "training.num_train_epochs")
    _warmup(sheet)
    _batch(sheet)
    noise = next((key for key in ("neftune_noise_alpha", "noisy_embedding_alpha") if sheet.has(key)), "")
    if noise:
        sheet.put("training.neftune_noise_alpha", sheet.number(noise), noise)


def _warmup(sheet: Sheet) -> None:
    if sheet.has("warmup_steps"):
        sheet.put("training.warmup_steps", sheet.number("warmup_steps"), "warmup_steps")
    else:
        sheet.put("training.warmup_ratio", sheet.number("warmup_ratio", 0.03), "warmup_ratio")
        if not sheet.has("warmup_ratio"):
            sheet.differ("warmup_ratio", "Axolotl warms up in 3 % of the steps, but in 100 at most: so does no ratio")


def _batch(sheet: Sheet) -> None:
    size = sheet.number("micro_batch_size", DEFAULTS["micro_batch_size"])
    if sheet.has("batch_size"):
        whole, key = sheet.number("batch_size"), "batch_size"
    else:
        accumulated = sheet.number("gradient_accumulation_steps", DEFAULTS["gradient_accumulation_steps"])
        whole, key = (size * accumulated if isinstance(size, int) and isinstance(accumulated, int) else None), ""
    sheet.put("training.global_batch_size", whole, key or "micro_batch_size")
    sheet.put("compute.per_device_train_batch_size", size, "micro_batch_size")
    text = f"{whole} rows a step is for one device; on several, Axolotl took so many for each"
    sheet.differ("micro_batch_size", text)


def _length(sheet: Sheet) -> None:
    length = _copy(sheet, "sequence_len", "training.max_length")
    strategy = str(sheet.value("excess_length_strategy", "drop"))
    if strategy == "drop":
        text = f"rows longer than {length} tokens: Axolotl drops them, ftsdk cuts the end, and counts them"
        sheet.differ("excess_length_strategy", text)
    sheet.put("training.packing", sheet.flag("sample_packing"), "sample_packing")


def _held_out(sheet: Sheet) -> None:
    size = _copy(sheet, "val_set_size", "val_size")
    if not size and not sheet.has("test_datasets"):
        return
    if size:
        sheet.differ("val_set_size", "as many rows are held out, but other ones: ftsdk draws them itself")
    key = "eval_strategy" if sheet.has("eval_strategy") else "evaluation_strategy"
    strategy = str(sheet.value(key, "")).lower()
    if sheet.has("eval_steps"):
        sheet.value(key)
        _steps(sheet, "eval_steps", sheet.number("eval_steps"), "training.eval_steps")
    elif (times := sheet.number("evals_per_epoch")) is not None:
        share = _share(sheet, times)
        if times == 1:
            sheet.put("training.eval_steps", None, "evals_per_epoch")
        else:
            _steps(sheet, "evals_per_epoch", share, "training.eval_steps")
    elif strategy == "epoch":
        sheet.put("training.eval_steps", None, key)
    elif strategy in ("", "no", "false"):
        sheet.put("training.eval_steps", None)
        sheet.drop(key, "ftsdk looks at the held-out rows after each epoch")
    else:
        sheet.refuse(key, "this value has no equal here", "epoch, or eval_steps: N", field="training.eval_steps")
    _early_stop(sheet)


def _early_stop(sheet: Sheet) -> None:
    patience, best = sheet.number("early_stopping_patience"), sheet.flag("load_best_model_at_end")
    if patience:
        if sheet.value("metric_for_best_model", "eval_loss") not in ("loss", "eval_loss"):
            sheet.refuse("metric_for_best_model", "the held-out loss decides", "metric_for_best_model: eval_loss")
        sheet.put("training.early_stopping_patience", patience, "early_stopping_patience")
    elif best:
        what = "the best checkpoint is kept at the end only where a job may stop early"
        field = "training.early_stopping_patience"
        sheet.refuse("load_best_model_at_end", what, "set it to false", field=field)


def _saving(sheet: Sheet) -> None:
    field = "training.save_steps"
    strategy = str(sheet.value("save_strategy", "")).lower()
    if sheet.has("save_steps"):
        _steps(sheet, "save_steps", sheet.number("save_steps"), field)
    elif (times := sheet.number("saves_per_epoch")) is not None:
        _steps(sheet, "saves_per_epoch", _share(sheet, times), field)
    elif strategy in ("no", "false"):
        sheet.drop("save_strategy", "ftsdk saves ten checkpoints over the run, to go on from")
    elif strategy:
        sheet.refuse("save_strategy", f"{strategy}: {_SAY_STEPS}", field=field)
    else:
        told = f"{field}: null, ten checkpoints over the run, where Axolotl saves one after each epoch"
        sheet.put(field, None, "save_strategy", default=told)
    steps = sheet.fields.get("training.max_steps")
    each = max(min(int(0.005 * steps), 10), 1) if isinstance(steps, int) else 1
    told = f"training.logging_steps: {each}" + ("" if steps else ", where Axolotl takes 1 to 10 by the length")
    sheet.put("training.logging_steps", sheet.number("logging_steps", each), "logging_steps", default=told)


def _share(sheet: Sheet, times: Any) -> Any:
    """So many times in each epoch, as a share of all steps."""
    epochs = sheet.number("num_epochs", DEFAULTS["num_epochs"])
    return 1 / (times * epochs) if isinstance(times, int | float) and times and epochs else times


def _steps(sheet: Sheet, key: str, value: Any, field: str) -> None:
    """Steps; below 1, a share of all of them, which can be counted where the file says how many there are."""
    total = sheet.fields.get("training.max_steps")
    if not isinstance(value, float) or value > 1:
        sheet.put(field, value, key)
    elif isinstance(total, int):
        sheet.put(field, math.ceil(total * value), key)
    elif math.isclose(value, _TENTH) and field == "training.save_steps":
        sheet.put(field, None, key)
    else:
        each = "so many times in an epoch" if key.endswith("_per_epoch") else "a share of all steps"
        sheet.refuse(key, f"{each}: {_SAY_STEPS}", field=field)


def _precision(sheet: Sheet) -> None:
    bf16 = sheet.value("bf16", sheet.value("bfloat16", "auto"))
    if bf16 != "auto":
        bf16 = sheet.flag("bf16" if sheet.has("bf16") else "bfloat16")
    half = sheet.flag("fp16")
    dtype = "bfloat16" if bf16 is True else "float16" if half else "auto" if bf16 == "auto" else "float32"
    sheet.put("compute.dtype", dtype, "bf16" if sheet.has("bf16") or not half else "fp16")
    checkpointing = sheet.value("gradient_checkpointing", default=False)
    if checkpointing in ("offload", "offload_disk", "unsloth"):
        sheet.drop("gradient_checkpointing", f"{checkpointing}: it is on, and nothing is moved off the device")
        checkpointing = True
    sheet.put("compute.gradient_checkpointing", checkpointing, "gradient_checkpointing")


def _kernels(sheet: Sheet) -> None:
    flags = [flag for flag in _FLAGS if sheet.flag(flag)]
    key = flags[0] if flags else "attn_implementation"
    name = _FLAGS[key] if flags else sheet.value(key, "auto")
    attention = "auto" if name == "auto" else ATTENTION.get(str(name))
    if attention is None:
        sheet.refuse(key, "this kernel has no equal here", f"one of {', '.join(ATTENTION)}", field="compute.attention")
    sheet.put("compute.attention", attention, key)
    if sheet.fields["training.packing"]:
        if attention == "auto":
            what = "without attn_implementation, Axolotl lets packed rows see each other"
            sheet.refuse("sample_packing", what, "attn_implementation: sdpa or flash_attention_2")
        sheet.differ("sample_packing", "Axolotl fills its sequences in another order")
    for plugin in sheet.several("plugins"):
        if not plugin.endswith(KERNELS):
            sheet.refuse("plugins", f"{plugin} has no equal here", "take it out")
        else:
            sheet.drop("plugins", "how the same numbers are computed; ftsdk chooses it for the machine")


def _reports(sheet: Sheet) -> None:
    wanted = []
    for tracker, also in TRACKERS.items():
        project = sheet.value(also) if also else None
        if sheet.flag(f"use_{tracker}") or project:
            wanted.append(tracker)
        if project:
            sheet.drop(also, f"set {also.upper()} in the environment, from where the tracker reads it")
    sheet.put("report_to", wanted)
    for key in ("wandb_name", "mlflow_run_name", "trackio_run_name"):
        if sheet.has(key) and _NAME.fullmatch(str(sheet.value(key))):
            sheet.put("name", str(sheet.value(key)), key)
    if sheet.has("hub_model_id"):
        sheet.put("push_to_hub", True, "hub_model_id")
        sheet.put("hub_model_id", sheet.value("hub_model_id"), "hub_model_id")
