"""Read how an Axolotl file trains: schedule, batch, length, held-out rows, cadence."""

import math
from typing import Any

from ftsdk.importers.common import IN_STEPS, OPTIMIZERS, SCHEDULES
from ftsdk.importers.importer import ConfigReader
from ftsdk.spec.training import BLANK_SAVE_SHARE
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


def read_training(reader: ConfigReader) -> None:
    """Set ``training`` and ``val_size``."""
    _rates(reader)
    _length(reader)
    _held_out(reader)
    _saving(reader)


def _rates(reader: ConfigReader) -> None:
    if not reader.has("learning_rate"):
        reader.refuse("learning_rate", "Axolotl has no default for it", "learning_rate: N")
    reader.set_field("training.learning_rate", reader.number("learning_rate"), "learning_rate")
    schedule = reader.choice("lr_scheduler", DEFAULTS["lr_scheduler"], SCHEDULES, "training.lr_scheduler_type")
    reader.set_field("training.lr_scheduler_type", schedule, "lr_scheduler")
    optim = reader.choice("optimizer", DEFAULTS["optimizer"], OPTIMIZERS, "training.optim")
    reader.set_field("training.optim", optim, "optimizer")
    for key, field in _COPIED.items():
        reader.copy(key, DEFAULTS[key], field)
    if not reader.fields["training.save_total_limit"]:
        reader.set_field("training.save_total_limit", DEFAULTS["save_total_limit"], "save_total_limit")
    if (steps := reader.number("max_steps", 0)) > 0:
        reader.set_field("training.max_steps", steps, "max_steps")
    else:
        reader.copy("num_epochs", DEFAULTS["num_epochs"], "training.num_train_epochs")
    _warmup(reader)
    _batch(reader)
    noise = next((key for key in ("neftune_noise_alpha", "noisy_embedding_alpha") if reader.has(key)), "")
    if noise:
        reader.set_field("training.neftune_noise_alpha", reader.number(noise), noise)


def _warmup(reader: ConfigReader) -> None:
    if reader.has("warmup_steps"):
        reader.set_field("training.warmup_steps", reader.number("warmup_steps"), "warmup_steps")
    else:
        reader.set_field("training.warmup_ratio", reader.number("warmup_ratio", 0.03), "warmup_ratio")
        if not reader.has("warmup_ratio"):
            reader.note(
                "warmup_ratio", "Axolotl warms up in 3 % of the steps, but in 100 at most: which no ratio can express"
            )


def _batch(reader: ConfigReader) -> None:
    size = reader.number("micro_batch_size", DEFAULTS["micro_batch_size"])
    if reader.has("batch_size"):
        batch, key = reader.number("batch_size"), "batch_size"
    else:
        accumulated = reader.number("gradient_accumulation_steps", DEFAULTS["gradient_accumulation_steps"])
        batch, key = (size * accumulated if isinstance(size, int) and isinstance(accumulated, int) else None), ""
    reader.set_field("training.global_batch_size", batch, key or "micro_batch_size")
    reader.set_field("compute.per_device_train_batch_size", size, "micro_batch_size")
    text = f"{batch} rows a step is for one device; on several, Axolotl took so many for each"
    reader.note("micro_batch_size", text)


def _length(reader: ConfigReader) -> None:
    length = reader.copy("sequence_len", DEFAULTS["sequence_len"], "training.max_length")
    strategy = str(reader.value("excess_length_strategy", "drop"))
    if strategy == "drop":
        text = f"rows longer than {length} tokens: Axolotl drops them, ftsdk cuts the end, and counts them"
        reader.note("excess_length_strategy", text)
    reader.set_field("training.packing", reader.flag("sample_packing"), "sample_packing")


def _held_out(reader: ConfigReader) -> None:
    size = reader.copy("val_set_size", DEFAULTS["val_set_size"], "val_size")
    if not size and not reader.has("test_datasets"):
        return
    if size:
        reader.note("val_set_size", "as many rows are held out, but different ones: ftsdk selects them itself")
    key = "eval_strategy" if reader.has("eval_strategy") else "evaluation_strategy"
    strategy = str(reader.value(key, "")).lower()
    if reader.has("eval_steps"):
        reader.value(key)
        _steps(reader, "eval_steps", reader.number("eval_steps"), "training.eval_steps")
    elif (times := reader.number("evals_per_epoch")) is not None:
        share = _share(reader, times)
        if times == 1:
            reader.set_field("training.eval_steps", None, "evals_per_epoch")
        else:
            _steps(reader, "evals_per_epoch", share, "training.eval_steps")
    elif strategy == "epoch":
        reader.set_field("training.eval_steps", None, key)
    elif strategy in ("", "no", "false"):
        reader.set_field("training.eval_steps", None)
        reader.drop(key, "ftsdk evaluates on the held-out rows after each epoch")
    else:
        reader.refuse(key, "this value is not supported", "epoch, or eval_steps: N", field="training.eval_steps")
    _early_stop(reader)


def _early_stop(reader: ConfigReader) -> None:
    patience, best = reader.number("early_stopping_patience"), reader.flag("load_best_model_at_end")
    if patience:
        if reader.value("metric_for_best_model", "eval_loss") not in ("loss", "eval_loss"):
            reader.refuse(
                "metric_for_best_model", "only the held-out loss is supported", "metric_for_best_model: eval_loss"
            )
        reader.set_field("training.early_stopping_patience", patience, "early_stopping_patience")
    elif best:
        reason = "the best checkpoint is kept at the end only where a job may stop early"
        field = "training.early_stopping_patience"
        reader.refuse("load_best_model_at_end", reason, "set it to false", field=field)


def _saving(reader: ConfigReader) -> None:
    field = "training.save_steps"
    strategy = str(reader.value("save_strategy", "")).lower()
    if reader.has("save_steps"):
        _steps(reader, "save_steps", reader.number("save_steps"), field)
    elif (times := reader.number("saves_per_epoch")) is not None:
        _steps(reader, "saves_per_epoch", _share(reader, times), field)
    elif strategy in ("no", "false"):
        reader.drop("save_strategy", "ftsdk saves ten checkpoints over the run, to resume from")
    elif strategy:
        reader.refuse("save_strategy", f"{strategy}: {IN_STEPS}", field=field)
    else:
        default = f"{field}: null, ten checkpoints over the run, where Axolotl saves one after each epoch"
        reader.set_field(field, None, "save_strategy", default=default)
    steps = reader.fields.get("training.max_steps")
    interval = max(min(int(0.005 * steps), 10), 1) if isinstance(steps, int) else 1
    default = f"training.logging_steps: {interval}" + ("" if steps else ", where Axolotl takes 1 to 10 by the length")
    reader.set_field(
        "training.logging_steps", reader.number("logging_steps", interval), "logging_steps", default=default
    )


def _share(reader: ConfigReader, times: Any) -> Any:
    """So many times in each epoch, as a share of all steps."""
    epochs = reader.number("num_epochs", DEFAULTS["num_epochs"])
    return 1 / (times * epochs) if isinstance(times, int | float) and times and epochs else times


def _steps(reader: ConfigReader, key: str, value: Any, field: str) -> None:
    """Steps; below 1, a share of all of them, which can be counted where the file has their number."""
    total = reader.fields.get("training.max_steps")
    if not isinstance(value, float) or value > 1:
        reader.set_field(field, value, key)
    elif isinstance(total, int):
        reader.set_field(field, math.ceil(total * value), key)
    elif math.isclose(value, BLANK_SAVE_SHARE) and field == "training.save_steps":
        reader.set_field(field, None, key)
    else:
        unit = "so many times in an epoch" if key.endswith("_per_epoch") else "a share of all steps"
        reader.refuse(key, f"{unit}: {IN_STEPS}", field=field)
