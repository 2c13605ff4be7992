"""What a policy is held to: the base with its adapters off, or a frozen copy of the adapter that it began as."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from ftsdk.errors import SpecError
from ftsdk.spec.adapter import BASE_CHANGING_INITS
from ftsdk_local.settings import Settings

REFERENCE = "ref"
"""TRL's name for the copy; where there is none, TRL switches adapters off."""


def settle_reference(model: Any, settings: Settings) -> None:
    """Keep the copy that TRL has made of the adapter only where it says more than the bare base; without dropout."""
    if settings.lora is None or REFERENCE not in model.peft_config:
        return
    if settings.adapter_from is None and settings.lora["init_lora_weights"] not in BASE_CHANGING_INITS:
        drop_reference(model)
    for name, module in model.named_modules():
        if name.endswith(f".{REFERENCE}") and isinstance(module, nn.Dropout):
            module.p = 0.0


def drop_reference(model: Any) -> None:
    """Take the copy off the model: it is no part of what is made."""
    if REFERENCE in getattr(model, "peft_config", {}):
        model.delete_adapter(REFERENCE)


@contextmanager
def reference_of(trainer: Any) -> Iterator[Any]:
    """The reference of a trainer of TRL's, as a model to call."""
    from trl.trainer.utils import use_adapter  # noqa: PLC0415 - heavy

    if trainer.ref_model is not None:
        yield trainer.ref_model
    else:
        with use_adapter(trainer.model, REFERENCE if REFERENCE in trainer.model.peft_config else None):
            yield trainer.model


def refuse_adapted_head(model: Any) -> None:
    """TRL takes probabilities from the head's own weight, past an adapter on it.

    Raises:
        SpecError: There is one.
    """
    if hasattr(model.get_output_embeddings(), "lora_A"):
        raise SpecError(
            "adapter.target_modules: an adapter on the output head would not be trained by this method",
            hint="leave the head out; all-linear does",
        )
