"""Trainer's arguments: those of the plan, and those that only the worker knows."""

import math
from typing import Any

import torch
from transformers import TrainingArguments

from ftsdk.job_folder import JobFolder
from ftsdk.modeling.loading import pick_dtype
from ftsdk_local.settings import Settings
from ftsdk_local.train.common.batch_sizing import BatchSizing

CHECKPOINTS_PER_RUN = 10


def training_arguments(
    settings: Settings, folder: JobFolder, device: torch.device, sizing: BatchSizing, *, sequences: int, held_out: int
) -> TrainingArguments:
    """Complete the plan's arguments for a trainer whose batch is a whole optimizer step."""
    arguments = complete_arguments(settings, folder, device, sizing, sequences=sequences, held_out=held_out)
    return TrainingArguments(**arguments)


def complete_arguments(
    settings: Settings, folder: JobFolder, device: torch.device, sizing: BatchSizing, *, sequences: int, held_out: int
) -> dict[str, Any]:
    """The plan's arguments with those that only the worker knows, for ``transformers.TrainingArguments``.

    Args:
        settings: The plan.
        folder: Where checkpoints go.
        device: Where it trains.
        sizing: Whether activations are recomputed.
        sequences: To train on.
        held_out: Sequences to evaluate on; 0: no evaluation.
    """
    steps_in_epoch = -(-sequences // settings.arguments["per_device_train_batch_size"])
    dtype = pick_dtype(settings.model.dtype, device)
    # On a CPU, autocast copies the frozen base's weights to bfloat16 at every use; without it adapters compute in the
    # base's own precision. Where every weight trains, the weights are in float32 and autocast gives the speed.
    mixed = device.type == "cuda" or settings.lora is None
    checkpointing = sizing.gradient_checkpointing
    return dict(
        output_dir=str(folder.checkpoints),
        **settings.arguments,
        **_cadence(settings, steps_in_epoch, held_out=held_out),
        use_cpu=device.type == "cpu",
        bf16=dtype is torch.bfloat16 and mixed,
        fp16=dtype is torch.float16,
        gradient_checkpointing=checkpointing,
        # Reentrant checkpointing gives no gradient where its input needs none: on a frozen base no adapter would train.
        gradient_checkpointing_kwargs={"use_reentrant": False} if checkpointing else None,
        dataloader_pin_memory=False,
        remove_unused_columns=False,  # rows are objects of ours, without columns
        disable_tqdm=True,
        restore_callback_states_from_checkpoint=True,  # else early stopping would count from 0 after a resume
        logging_nan_inf_filter=False,  # it would hide a loss of nan behind the last good one
    )


def _cadence(settings: Settings, steps_in_epoch: int, *, held_out: int) -> dict[str, Any]:
    """When to evaluate and when to save."""
    saving: dict[str, Any] = {"save_strategy": "steps", "save_steps": _save_steps(settings, steps_in_epoch)}
    if not held_out:
        return {"eval_strategy": "no", **saving}
    interval = settings.eval_steps or steps_in_epoch
    evaluation = {"eval_strategy": "steps", "eval_steps": interval, "eval_on_start": True}
    if settings.early_stopping_patience is None:
        return evaluation | saving
    best = {"load_best_model_at_end": True, "metric_for_best_model": "eval_loss", "greater_is_better": False}
    return evaluation | saving | {"save_steps": interval} | best  # the best evaluation needs its checkpoint


def _save_steps(settings: Settings, steps_in_epoch: int) -> int:
    if settings.save_steps is not None:
        return settings.save_steps
    steps = settings.arguments["max_steps"]
    total = steps if steps > 0 else math.ceil(steps_in_epoch * settings.arguments["num_train_epochs"])
    return max(total // CHECKPOINTS_PER_RUN, 1)
