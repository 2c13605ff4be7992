"""Read how an Axolotl file trains: schedule, batch, length, held-out rows, cadence."""

import math
from typing import Any

from ftsdk.importers.common import OPTIMIZERS, SCHEDULES
from ftsdk.importers.importer import Sheet
from ftsdk_axolotl.importer.defaults import DEFAULTS

_COPIED = {
    "max_grad_norm": "training.max_grad_norm",
    "weight_decay": "training.weight_decay",
    "adam_beta1": "training.adam_beta1",
    "adam_beta2": "training.adam_beta2",
    "adam_epsilon": "training.adam_epsilon",
    "seed": "training.seed",
    "save_total_limit": "training.save_total_limit",
}
_SAY_STEPS = "ftsdk counts in optimizer steps"
_TENTH = 0.1


def read_training(sheet: Sheet) -> None:
    """Set ``training`` and ``val_size``."""
    _rates(sheet)
    _length(sheet)
    _held_out(sheet)
    _saving(sheet)


def _rates(sheet: Sheet) -> None:
    if not sheet.has("learning_rate"):
        sheet.refuse("learning_rate", "Axolotl has no default for it", "learning_rate: N")
    sheet.put("training.learning_rate", sheet.number("learning_rate"), "learning_rate")
    schedule = sheet.word("lr_scheduler", DEFAULTS["lr_scheduler"], SCHEDULES, "training.lr_scheduler_type")
    sheet.put("training.lr_scheduler_type", schedule, "lr_scheduler")
    optim = sheet.word("optimizer", DEFAULTS["optimizer"], OPTIMIZERS, "training.optim")
    sheet.put("training.optim", optim, "optimizer")
    for key, field in _COPIED.items():
        sheet.copy(key, DEFAULTS[key], field)
    if not sheet.fields["training.save_total_limit"]:
        sheet.put("training.save_total_limit", DEFAULTS["save_total_limit"], "save_total_limit")
    if (steps := sheet.number("max_steps", 0)) > 0:
        sheet.put("training.max_steps", steps, "max_steps")
    else:
        sheet.copy("num_epochs", DEFAULTS["num_epochs"], "training.num_train_epochs")
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
    length = sheet.copy("sequence_len", DEFAULTS["sequence_len"], "training.max_length")
    strategy = str(sheet.value("excess_length_strategy", "drop"))
    if strategy == "drop":
        text = f"rows longer than {length} tokens: Axolotl drops them, ftsdk cuts the end, and counts them"
        sheet.differ("excess_length_strategy", text)
    sheet.put("training.packing", sheet.flag("sample_packing"), "sample_packing")


def _held_out(sheet: Sheet) -> None:
    size = sheet.copy("val_set_size", DEFAULTS["val_set_size"], "val_size")
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
