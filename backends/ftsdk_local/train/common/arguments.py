"""Trainer's arguments: the plan's, and what only the worker knows."""

import math
from typing import Any

import torch
from transformers import TrainingArguments

from ftsdk.job_folder import JobFolder
from ftsdk.modeling.loading import pick_dtype
from ftsdk_local.settings import Settings
from ftsdk_local.train.common.batch_sizing import Fit

CHECKPOINTS_IN_A_RUN = 10


def training_arguments(
    settings: Settings, folder: JobFolder, device: torch.device, fitting: Fit, *, sequences: int, held_out: int
) -> TrainingArguments:
    """Complete the plan's arguments for a trainer whose batch is a whole optimizer step."""
    known = known_arguments(settings, folder, device, fitting, sequences=sequences, held_out=held_out)
    return TrainingArguments(**known)


def known_arguments(
    settings: Settings, folder: JobFolder, device: torch.device, fitting: Fit, *, sequences: int, held_out: int
) -> dict[str, Any]:
    """The plan's arguments, and what only the worker knows, by the names of ``transformers.TrainingArguments``.

    Args:
        settings: The plan.
        folder: Where checkpoints go.
        device: Where it trains.
        fitting: Whether activations are recomputed.
        sequences: To train on.
        held_out: Sequences to evaluate on; 0: no evaluation.
    """
    steps_in_epoch = -(-sequences // settings.arguments["per_device_train_batch_size"])
    dtype = pick_dtype(settings.model.dtype, device)
    mixed = device.type == "cuda" or settings.lora is None  # adapters on a CPU compute in the base's own precision
    checkpointing = fitting.gradient_checkpointing
    return dict(
        output_dir=str(folder.checkpoints),
        **settings.arguments,
        **_cadence(settings, steps_in_epoch, held_out=held_out),
        use_cpu=device.type == "cpu",
        bf16=dtype is torch.bfloat16 and mixed,
        fp16=dtype is torch.float16,
        gradient_checkpointing=checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False} if checkpointing else None,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
        disable_tqdm=True,
        restore_callback_states_from_checkpoint=True,  # else a resumed run would begin early stopping's patience anew
        logging_nan_inf_filter=False,  # it would log the last good loss in place of one that is no number
    )


def _cadence(settings: Settings, steps_in_epoch: int, *, held_out: int) -> dict[str, Any]:
    """When to evaluate and when to save."""
    saving: dict[str, Any] = {"save_strategy": "steps", "save_steps": _save_steps(settings, steps_in_epoch)}
    if not held_out:
        return {"eval_strategy": "no", **saving}
    every = settings.eval_steps or steps_in_epoch
    evaluation = {"eval_strategy": "steps", "eval_steps": every, "eval_on_start": True}
    if settings.early_stopping_patience is None:
        return evaluation | saving
    best = {"load_best_model_at_end": True, "metric_for_best_model": "eval_loss", "greater_is_better": False}
    return evaluation | saving | {"save_steps": every} | best  # the best evaluation must have its checkpoint


def _save_steps(settings: Settings, steps_in_epoch: int) -> int:
    if settings.save_steps is not None:
        return settings.save_steps
    steps = settings.arguments["max_steps"]
    total = steps if steps > 0 else math.ceil(steps_in_epoch * settings.arguments["num_train_epochs"])
    return max(total // CHECKPOINTS_IN_A_RUN, 1)
