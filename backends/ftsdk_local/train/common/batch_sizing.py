"""Decide how much of a step is computed at a time, and whether activations are recomputed."""

from typing import Any, NamedTuple

import psutil
import torch

from ftsdk.forecast import LOGIT_ROWS, MOST_RESPONSES, Architecture, TrainerProfile, responses_that_fit, tokens_that_fit
from ftsdk.modeling.loading import pick_dtype
from ftsdk.modeling.memory import MOST_TOKENS, MicroBatch
from ftsdk.spec import JobSpec
from ftsdk_local.settings import Settings

_FEWEST_TOKENS = 64
_SHARE_OF_MEMORY = 0.9  # of what there is; the rest is for what the forecast does not know


class Fit(NamedTuple):
    """How a step is computed."""

    micro_batch: MicroBatch
    """Changes while training where memory runs out."""
    gradient_checkpointing: bool

    def __str__(self) -> str:
        return f"{self.micro_batch}, gradient checkpointing {'on' if self.gradient_checkpointing else 'off'}"


def fit(
    spec: JobSpec,
    settings: Settings,
    model: Any,
    device: torch.device,
    sealed: dict[str, Any] | None = None,
    *,
    rows: int = 1,
) -> Fit:
    """As sealed in the checkpoint to go on from, as asked, or as forecast.

    Args:
        spec: What to train.
        settings: The plan.
        model: The base, for its dimensions.
        device: Where it trains.
        sealed: Facts of the checkpoint: the same cut of the same rows, or the sums would differ in their last bits.
        rows: Of ``max_length`` tokens each, that are never parted: 2 for pairs.
    """
    if sealed is not None:
        return Fit(MicroBatch(sealed["tokens_at_a_time"], sealed["rows_at_a_time"]), sealed["gradient_checkpointing"])
    wanted = settings.gradient_checkpointing
    longest = rows * settings.data.max_length
    if (count := settings.micro_batch_rows) is not None:
        return Fit(MicroBatch(count * longest, count), bool(wanted))
    shape = Architecture.from_config(model.config.to_dict())
    if shape is None:  # no forecast: the careful way, and a halving where it does not fit
        return Fit(MicroBatch(MOST_TOKENS[device.type]), wanted is not False)
    return _as_forecast(spec, settings, shape, device, longest)


def fit_sampling(spec: JobSpec, settings: Settings, model: Any, device: torch.device) -> MicroBatch:
    """How many responses are sampled at a time.

    Args:
        spec: What to train.
        settings: The plan.
        model: The base, for its dimensions.
        device: Where it samples.
    """
    shape = Architecture.from_config(model.config.to_dict())
    fitting = (
        MOST_RESPONSES
        if shape is None
        else responses_that_fit(
            spec,
            shape,
            _computing(settings, device, checkpointing=True),
            limit=int(_memory(device, settings.memory_limit) * _SHARE_OF_MEMORY),
        )
    )
    rows = min(fitting, MOST_RESPONSES)
    return MicroBatch(rows * settings.data.max_length, rows)


def _as_forecast(spec: JobSpec, settings: Settings, shape: Architecture, device: torch.device, longest: int) -> Fit:
    most, wanted = MOST_TOKENS[device.type], settings.gradient_checkpointing

    def fitting(*, checkpointing: bool) -> int:
        return tokens_that_fit(
            spec,
            shape,
            _computing(settings, device, checkpointing=checkpointing),
            limit=int(_memory(device, settings.memory_limit) * _SHARE_OF_MEMORY),
        )

    needed = fitting(checkpointing=False) < min(most, longest)
    checkpointing = needed if wanted is None else wanted
    return Fit(MicroBatch(max(min(most, fitting(checkpointing=checkpointing)), _FEWEST_TOKENS)), checkpointing)


def _computing(settings: Settings, device: torch.device, *, checkpointing: bool) -> TrainerProfile:
    """This engine's way, on this device."""
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
