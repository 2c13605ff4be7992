"""What the methods on TRL's trainers share: the base, a tokenizer that pads, and TRL kept from acting on its own."""

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ftsdk.modeling.loading import choose_attention, load_base, without_dropout
from ftsdk.workers.event_writer import EventWriter
from ftsdk_local.settings import Settings
from ftsdk_local.train.common.stages import check_vocabulary


def load_trl_base(settings: Settings, tokenizer: Any, device: torch.device) -> Any:
    """The base for a trainer of TRL's, without dropout of its own."""
    base = load_base(settings.model, device, trains=settings.lora is None)
    check_vocabulary(base, tokenizer)
    choose_attention(base, settings.model.attention)
    # The reference is this base with the adapter off, in the same train() mode as the policy: with dropout in it, the
    # reference would give other probabilities each time. Dropout stays in the adapter, which the reference is without.
    without_dropout(base)
    return base


class _WarningForwarder(logging.Handler):
    """Passes log records to the reporter, each text once."""

    def __init__(self, reporter: EventWriter) -> None:
        super().__init__(logging.WARNING)
        self._reporter = reporter
        self._texts: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text not in self._texts:
            self._texts.add(text)
            self._reporter.warning(f"{record.name}: {text}")


@contextmanager
def quiet_trl(reporter: EventWriter) -> Iterator[None]:
    """While TRL works: nothing is sent, no progress bars are drawn, and its warnings become the job's."""
    import datasets  # noqa: PLC0415 - heavy
    from huggingface_hub import constants  # noqa: PLC0415 - heavy

    # TRL's constructors send telemetry through huggingface_hub. The environment variable is read when that module is
    # imported, which has happened by now, so the constant itself is set.
    constants.HF_HUB_DISABLE_TELEMETRY = True
    datasets.disable_progress_bars()
    logger, handler = logging.getLogger("trl"), _WarningForwarder(reporter)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


@contextmanager
def preserve_weights(model: Any) -> Iterator[None]:
    """Around TRL's constructors: adapters keep the precision that they have."""
    # The constructors of DPOTrainer, KTOTrainer and GRPOTrainer replace param.data of trainable weights by bfloat16
    # copies where the base is quantized. Updates of 1e-5 would be rounded away, and a run resumed from the rounded
    # weights would differ. The original tensors are put back, not cast: a cast would keep the rounding.
    before = [(weight, weight.data) for weight in model.parameters() if weight.requires_grad]
    yield
    for weight, data in before:
        weight.data = data


def tokenizer_for_trl(tokenizer: Any) -> Any:
    """A copy with a padding token."""
    # TRL refuses a tokenizer without one. Which token pads does not matter, because padding is masked; a copy, because
    # the artifact has the tokenizer as it came.
    padded = copy.deepcopy(tokenizer)
    if padded.pad_token is None:
        padded.pad_token = padded.eos_token or padded.convert_ids_to_tokens(0)
    return padded
