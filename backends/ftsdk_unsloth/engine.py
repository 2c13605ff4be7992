"""Unsloth as an engine: its environment, its options, and the fields of a spec that it does not support.

Read in its source, version 2026.10.9, and tried on a CPU. The lock file is made by scripts/lock_engine.py.
"""

from pathlib import Path
from typing import Literal

from ftsdk.engines.backend import EngineOptions
from ftsdk.engines.environment import EngineEnvironment
from ftsdk.translation.ledger import RequiredValue

ENGINE_ENVIRONMENT = EngineEnvironment(
    name="unsloth",
    package="unsloth",
    lock=Path(__file__).with_name("lock.txt"),
    python="3.11",
    size=2_500_000_000,
)


class UnslothOptions(EngineOptions):
    """``backend_options.unsloth`` in the spec: settings that Unsloth alone has."""

    gradient_checkpointing: Literal["unsloth", "torch"] = "unsloth"
    """How activations are recomputed: ``unsloth`` keeps those between layers in the host's memory meanwhile; ``torch``
    is PyTorch's own way. Whether they are is ``compute.gradient_checkpointing``."""


REQUIRED_VALUES = {
    "training.packing": RequiredValue(
        False, "rows come to Unsloth as tokens, so that it masks what ftsdk masks, and are not packed", "false"
    ),
    "training.quantization_aware": RequiredValue(
        None, "quantization-aware training is not mapped to Unsloth's qat_scheme yet"
    ),
    "report_to": RequiredValue(
        (), "its environment holds no experiment tracker", "leave it out; metrics.jsonl has all values"
    ),
}
"""Fields of which this backend supports one value."""

IGNORED_ADVICE = {
    "compute.attention": "on a card Unsloth computes attention in its own way",
    "compute.double_quantization": "Unsloth quantizes the scales of 4 bits in any case",
    "compute.memory_limit": "Unsloth takes what the device has",
    "compute.devices": "a job on this machine has one device",
    "compute.nodes": "a job on this machine has one device",
}
"""Advice that this backend ignores, and why."""

BACKEND_DEFAULTS = {
    "kto": ("method.type", "KTO's KL is estimated on the rows that are computed at a time, as TRL does it"),
    "orpo": ("method.type", "ORPO's SFT loss is a mean over the tokens that are computed at a time, as TRL does it"),
}
"""From a method to what TRL decides by itself."""
