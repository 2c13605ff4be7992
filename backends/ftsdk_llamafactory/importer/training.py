"""Read how a LLaMA-Factory file trains: schedule, batch, length, held-out rows, cadence."""

from typing import Any

from ftsdk.importers.common import OPTIMIZERS, SCHEDULES
from ftsdk.importers.importer import Sheet
from ftsdk_llamafactory.importer.defaults import DEFAULTS
from ftsdk_llamafactory.translate import SENT

_SAY_STEPS = "ftsdk counts in optimizer steps"
_WORDED = {"training.optim": OPTIMIZERS, "training.lr_scheduler_type": SCHEDULES}
_BEST = "load_best_model_at_end: true"
_TENTH = 0.1


def read_training(sheet: Sheet, stage: str) -> None:
    """Set ``training`` and ``val_size``."""
    _rates(sheet)
    _length(sheet, stage)
    _held_out(sheet)
    _cadence(sheet)


def _rates(sheet: Sheet) -> None:
    elsewhere = {"training.num_train_epochs", "training.max_length", "training.logging_steps"}
    for field, key in SENT.items():
        if field in _WORDED:
            sheet.put(field, sheet.word(key, DEFAULTS[key], _WORDED[field], field), key)
        elif field not in elsewhere and key in DEFAULTS:
            sheet.copy(key, DEFAULTS[key], field)
    if (steps := sheet.number("max_steps", -1)) > 0:
        sheet.put("training.max_steps", steps, "max_steps")
    else:
        sheet.copy("num_train_epochs", DEFAULTS["num_train_epochs"], "training.num_train_epochs")
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
    length = sheet.copy("cutoff_len", DEFAULTS["cutoff_len"], "training.max_length")
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
    size = sheet.copy("val_size", DEFAULTS["val_size"], "val_size")
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


def _steps(sheet: Sheet, key: str, value: Any, field: str) -> None:
    if isinstance(value, float) and 0 < value < 1:
        sheet.refuse(key, f"a share of all steps: {_SAY_STEPS}", field=field)
    else:
        whole = isinstance(value, float) and value.is_integer()
        sheet.put(field, int(value) if whole else value, key)
