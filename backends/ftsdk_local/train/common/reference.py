"""The reference of a policy: the base with its adapters off, or a frozen copy of the adapter that it began as."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from ftsdk.errors import SpecError
from ftsdk.spec.adapter import BASE_CHANGING_INITS
from ftsdk_local.settings import Settings

REFERENCE = "ref"
"""TRL's name for the copy; where there is none, TRL disables the adapters."""


def configure_reference(model: Any, settings: Settings) -> None:
    """Keep TRL's copy of the adapter only where it differs from the base; without dropout."""
    # TRL's constructors copy the adapter as "ref". For a new adapter, which adds nothing at first, the base with
    # adapters disabled gives the same numbers and costs no second adapter. An adapter to continue from, or one whose
    # start has changed the base (PiSSA, OLoRA), does differ from the base.
    if settings.lora is None or REFERENCE not in model.peft_config:
        return
    if settings.adapter_from is None and settings.lora["init_lora_weights"] not in BASE_CHANGING_INITS:
        drop_reference(model)
    for name, module in model.named_modules():
        if name.endswith(f".{REFERENCE}") and isinstance(module, nn.Dropout):
            module.p = 0.0


def drop_reference(model: Any) -> None:
    """Remove the copy from the model: it is no part of the artifact."""
    if REFERENCE in getattr(model, "peft_config", {}):
        model.delete_adapter(REFERENCE)


@contextmanager
def reference_model(trainer: Any) -> Iterator[Any]:
    """The reference of a TRL trainer, as a model to call."""
    from trl.trainer.utils import use_adapter  # noqa: PLC0415 - heavy

    if trainer.ref_model is not None:
        yield trainer.ref_model
    else:
        with use_adapter(trainer.model, REFERENCE if REFERENCE in trainer.model.peft_config else None):
            yield trainer.model


def refuse_adapted_head(model: Any) -> None:
    """Refuse an adapter on the output head.

    Raises:
        SpecError: There is one.
    """
    # TRL computes log-probabilities from lm_head.weight directly (fused_lm_head), so an adapter on it has no effect.
    if hasattr(model.get_output_embeddings(), "lora_A"):
        raise SpecError(
            "adapter.target_modules: an adapter on the output head would not be trained by this method",
            hint="leave the head out; all-linear does",
        )
