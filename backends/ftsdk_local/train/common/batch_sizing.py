"""Decide the micro-batch, and whether activations are recomputed."""

from typing import Any, NamedTuple

import psutil
import torch

from ftsdk.forecast import LOGIT_ROWS, MOST_RESPONSES, Architecture, TrainerProfile, responses_that_fit, tokens_that_fit
from ftsdk.modeling.loading import pick_dtype
from ftsdk.modeling.memory import MOST_TOKENS, MicroBatch
from ftsdk.spec import JobSpec
from ftsdk_local.settings import Settings
from ftsdk_local.train.common.checkpoint import SealedCheckpoint

_FEWEST_TOKENS = 64
_SHARE_OF_MEMORY = 0.9  # the estimate leaves out fragmentation, and what the libraries allocate by themselves


class BatchSizing(NamedTuple):
    """How a step is computed."""

    micro_batch: MicroBatch
    """Halved in training where memory runs out."""
    gradient_checkpointing: bool

    def __str__(self) -> str:
        return f"{self.micro_batch}, gradient checkpointing {'on' if self.gradient_checkpointing else 'off'}"


def size_batches(
    spec: JobSpec,
    settings: Settings,
    model: Any,
    device: torch.device,
    checkpoint: SealedCheckpoint | None = None,
    *,
    rows: int = 1,
) -> BatchSizing:
    """The sizing that the checkpoint has sealed; else that of the plan; else what the memory estimate allows.

    Args:
        spec: What to train.
        settings: The plan.
        model: The base, for its dimensions.
        device: Where it trains.
        checkpoint: Where the run is resumed from.
        rows: Of ``max_length`` tokens each, that are never split: 2 for pairs.
    """
    if checkpoint is not None:
        # The estimate depends on the memory that is free now. Another micro-batch would add up the same gradients in
        # another order, and the resumed run would differ from an uninterrupted one in its last bits.
        facts = checkpoint.facts
        return BatchSizing(
            MicroBatch(facts["tokens_at_a_time"], facts["rows_at_a_time"]), facts["gradient_checkpointing"]
        )
    checkpointing = settings.gradient_checkpointing
    longest = rows * settings.data.max_length
    if (count := settings.micro_batch_rows) is not None:
        return BatchSizing(MicroBatch(count * longest, count), bool(checkpointing))
    architecture = Architecture.from_config(model.config.to_dict())
    if architecture is None:  # no estimate: recompute activations, and halve the micro-batch where it does not fit
        return BatchSizing(MicroBatch(MOST_TOKENS[device.type]), checkpointing is not False)
    return _estimate(spec, settings, architecture, device, longest)


def size_sampling(spec: JobSpec, settings: Settings, model: Any, device: torch.device) -> MicroBatch:
    """How many responses are sampled at a time.

    Args:
        spec: What to train.
        settings: The plan.
        model: The base, for its dimensions.
        device: Where it samples.
    """
    architecture = Architecture.from_config(model.config.to_dict())
    responses = (
        MOST_RESPONSES
        if architecture is None
        else responses_that_fit(
            spec,
            architecture,
            _profile(settings, device, checkpointing=True),
            limit=int(_memory(device, settings.memory_limit) * _SHARE_OF_MEMORY),
        )
    )
    rows = min(responses, MOST_RESPONSES)
    return MicroBatch(rows * settings.data.max_length, rows)


def _estimate(
    spec: JobSpec, settings: Settings, architecture: Architecture, device: torch.device, longest: int
) -> BatchSizing:
    most = MOST_TOKENS[device.type]

    def tokens(*, checkpointing: bool) -> int:
        return tokens_that_fit(
            spec,
            architecture,
            _profile(settings, device, checkpointing=checkpointing),
            limit=int(_memory(device, settings.memory_limit) * _SHARE_OF_MEMORY),
        )

    # Recomputing activations costs a third more time, so it is only for where the longest row would not fit without.
    required = tokens(checkpointing=False) < min(most, longest)
    checkpointing = required if settings.gradient_checkpointing is None else settings.gradient_checkpointing
    return BatchSizing(MicroBatch(max(min(most, tokens(checkpointing=checkpointing)), _FEWEST_TOKENS)), checkpointing)


def _profile(settings: Settings, device: torch.device, *, checkpointing: bool) -> TrainerProfile:
    """How this engine computes on this device."""
    return TrainerProfile(
        width=pick_dtype(settings.model.dtype, device).itemsize,
        checkpointing=checkpointing,
        cuda=device.type == "cuda",
        logit_rows=LOGIT_ROWS,
        score_matrix=settings.model.attention == "eager",
        autocast=device.type == "cuda" or settings.lora is None,
    )


def _memory(device: torch.device, limit: int | None) -> int:
    """Bytes that the job may use."""
    if limit is not None:
        return limit
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return int(psutil.virtual_memory().available)
