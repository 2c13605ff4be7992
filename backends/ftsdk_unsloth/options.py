"""Settings that Unsloth alone has: ``backend_options.unsloth`` in the spec."""

from typing import Literal

from ftsdk.engines.backend import EngineOptions


class UnslothOptions(EngineOptions):
    """What a spec does not say, because only Unsloth has it."""

    gradient_checkpointing: Literal["unsloth", "torch"] = "unsloth"
    """How activations are recomputed: ``unsloth`` keeps those between layers in the host's memory meanwhile; ``torch``
    is PyTorch's own way. Whether they are is ``compute.gradient_checkpointing``."""
