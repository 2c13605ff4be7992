"""Read how a LLaMA-Factory file trains: schedule, batch, length, held-out rows, cadence."""

from typing import Any

from ftsdk.importers.common import IN_STEPS, OPTIMIZERS, SCHEDULES
from ftsdk.importers.importer import ConfigReader
from ftsdk.spec.training import BLANK_SAVE_SHARE
from ftsdk_llamafactory.importer.defaults import DEFAULTS
from ftsdk_llamafactory.translate import DIRECT_FIELDS

_CHOICES = {"training.optim": OPTIMIZERS, "training.lr_scheduler_type": SCHEDULES}
_BEST = "load_best_model_at_end: true"


def read_training(reader: ConfigReader, stage: str) -> None:
    """Set ``training`` and ``val_size``."""
    _rates(reader)
    _length(reader, stage)
    _held_out(reader)
    _cadence(reader)


def _rates(reader: ConfigReader) -> None:
    elsewhere = {"training.num_train_epochs", "training.max_length", "training.logging_steps"}
    for field, key in DIRECT_FIELDS.items():
        if field in _CHOICES:
            reader.set_field(field, reader.choice(key, DEFAULTS[key], _CHOICES[field], field), key)
        elif field not in elsewhere and key in DEFAULTS:
            reader.copy(key, DEFAULTS[key], field)
    if (steps := reader.number("max_steps", -1)) > 0:
        reader.set_field("training.max_steps", steps, "max_steps")
    else:
        reader.copy("num_train_epochs", DEFAULTS["num_train_epochs"], "training.num_train_epochs")
    _warmup(reader)
    size = reader.number("per_device_train_batch_size", DEFAULTS["per_device_train_batch_size"])
    accumulated = reader.number("gradient_accumulation_steps", DEFAULTS["gradient_accumulation_steps"])
    if isinstance(size, int) and isinstance(accumulated, int):
        reader.set_field("training.global_batch_size", size * accumulated, "per_device_train_batch_size")
        reader.note(
            "per_device_train_batch_size",
            f"{size * accumulated} rows a step is for one device; on several, LLaMA-Factory took so many for each",
        )
    reader.set_field("compute.per_device_train_batch_size", size, "per_device_train_batch_size")
    if (alpha := reader.number("neftune_noise_alpha")) is not None:
        reader.set_field("training.neftune_noise_alpha", alpha, "neftune_noise_alpha")
    if reader.number("data_seed") not in (None, reader.fields["training.seed"]):
        reader.refuse("data_seed", "there is one seed for everything", "give both the same value")


def _warmup(reader: ConfigReader) -> None:
    """Steps; below 1, Transformers reads a share of all steps, and a ratio wins."""
    key = "warmup_ratio" if reader.has("warmup_ratio") else "warmup_steps"
    warmup = reader.number(key, DEFAULTS["warmup_steps"])
    if isinstance(warmup, float) and 0 < warmup < 1:
        reader.set_field("training.warmup_ratio", warmup, key)
    else:
        is_whole = isinstance(warmup, float) and warmup.is_integer()
        reader.set_field("training.warmup_steps", int(warmup) if is_whole else warmup, key)


def _length(reader: ConfigReader, stage: str) -> None:
    length = reader.copy("cutoff_len", DEFAULTS["cutoff_len"], "training.max_length")
    neat = reader.flag("neat_packing")
    packing = neat or reader.flag("packing", default=stage == "pt")
    if packing and not neat:
        key = "packing" if reader.has("packing") else "stage"
        fix = "packing: false" if stage == "pt" else "neat_packing: true, which keeps rows apart"
        reader.refuse(key, "rows in one sequence would attend to each other", fix)
    if neat:
        reader.note("neat_packing", f"rows longer than {length} tokens: LLaMA-Factory drops them, ftsdk cuts them")
    else:
        reader.note(
            "cutoff_len",
            f"rows longer than {length} tokens: LLaMA-Factory shortens prompt and answer, ftsdk cuts the end, and"
            " counts them",
        )
    reader.set_field("training.packing", neat, "neat_packing")


def _held_out(reader: ConfigReader) -> None:
    size = reader.copy("val_size", DEFAULTS["val_size"], "val_size")
    if size:
        reader.note("val_size", "as many rows are held out, but different ones: ftsdk selects them itself")
    evaluates = bool(size) or reader.has("eval_dataset")
    strategy = str(reader.value("eval_strategy", DEFAULTS["eval_strategy"])).lower()
    strategy = "no" if strategy == "false" else strategy  # YAML 1.1 reads no as false
    if evaluates and strategy == "no":
        reader.drop("eval_strategy", "ftsdk evaluates on the held-out rows after each epoch")
    elif evaluates and strategy == "steps":
        key = "eval_steps" if reader.has("eval_steps") else "logging_steps"
        _steps(reader, key, reader.number(key, DEFAULTS["logging_steps"]), "training.eval_steps")
    elif evaluates and strategy == "epoch":
        reader.set_field("training.eval_steps", None, "eval_strategy")
    elif strategy not in ("no", "steps", "epoch"):
        reader.refuse("eval_strategy", "this value is not supported", "no, steps or epoch")
    _early_stop(reader)


def _early_stop(reader: ConfigReader) -> None:
    patience, best = reader.number("early_stopping_steps"), reader.flag("load_best_model_at_end")
    metric = reader.value("metric_for_best_model", "loss")
    if patience is None and not best:
        return
    if patience is None:
        reason = "the best checkpoint is kept at the end only where a job may stop early"
        reader.refuse("load_best_model_at_end", reason, "set it to false", field="training.early_stopping_patience")
    elif not best:
        reader.refuse("early_stopping_steps", "a job that stops early keeps its best checkpoint", _BEST)
    elif metric not in ("loss", "eval_loss") or reader.flag("greater_is_better"):
        reader.refuse(
            "metric_for_best_model", "only the held-out loss is supported", "metric_for_best_model: eval_loss"
        )
    else:
        reader.set_field("training.early_stopping_patience", patience, "early_stopping_steps")


def _cadence(reader: ConfigReader) -> None:
    if reader.value("logging_strategy", DEFAULTS["logging_strategy"]) == "steps":
        interval = reader.number("logging_steps", DEFAULTS["logging_steps"])
        _steps(reader, "logging_steps", interval, "training.logging_steps")
    else:
        reader.drop("logging_strategy", "ftsdk reports the loss at each step")
    strategy = str(reader.value("save_strategy", DEFAULTS["save_strategy"])).lower()
    if strategy in ("no", "false"):
        reader.drop("save_strategy", "ftsdk saves ten checkpoints over the run, to resume from")
    elif strategy == "steps":
        interval = reader.number("save_steps", DEFAULTS["save_steps"])
        if interval == BLANK_SAVE_SHARE:  # of all steps, which is ours
            reader.set_field("training.save_steps", None, "save_steps")
        else:
            _steps(reader, "save_steps", interval, "training.save_steps")
    else:
        reader.refuse("save_strategy", f"{strategy}: {IN_STEPS}", field="training.save_steps")
    limit = reader.number("save_total_limit")
    note = "training.save_total_limit: 2, where LLaMA-Factory keeps every checkpoint"
    reader.set_field("training.save_total_limit", 2 if limit is None else limit, "save_total_limit", default=note)
    if limit == 1:
        reader.set_field("training.save_total_limit", 2, "save_total_limit")
        reader.drop("save_total_limit", "ftsdk keeps two checkpoints at least")


def _steps(reader: ConfigReader, key: str, value: Any, field: str) -> None:
    if isinstance(value, float) and 0 < value < 1:
        reader.refuse(key, f"a share of all steps: {IN_STEPS}", field=field)
    else:
        is_whole = isinstance(value, float) and value.is_integer()
        reader.set_field(field, int(value) if is_whole else value, key)
