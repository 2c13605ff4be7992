"""LLaMA-Factory as an engine: its environments, its options, and the fields of a spec that it does not support.

Read in its source, version 0.9.5. The lock files are made by scripts/lock_engine.py.
"""

from pathlib import Path

from ftsdk.engines.backend import EngineOptions
from ftsdk.engines.environment import EngineEnvironment
from ftsdk.translation.ledger import RequiredValue

ENGINE_ENVIRONMENT = EngineEnvironment(
    name="llamafactory",
    package="llamafactory",
    lock=Path(__file__).with_name("lock.txt"),
    python="3.11",
    size=2_500_000_000,
)

# LLaMA-Factory's PPO calls a trainer that later TRLs do not have; its 0.9.3 is the last version that pins TRL 0.9.6.
PPO_ENVIRONMENT = EngineEnvironment(
    name="llamafactory",
    package="llamafactory",
    lock=Path(__file__).with_name("lock-ppo.txt"),
    python="3.11",
    size=2_500_000_000,
)
"""For PPO alone."""

ENVIRONMENTS_OF_METHODS = {"ppo": PPO_ENVIRONMENT}
"""From a method to its environment, where it is another one."""


class LlamaFactoryOptions(EngineOptions):
    """``backend_options.llamafactory`` in the spec: settings that LLaMA-Factory alone has."""

    enable_liger_kernel: bool = False
    """Liger's fused kernels, on NVIDIA cards; install them into a Python of your own (``python``)."""


_NO_STOP = "this backend does not stop early: LLaMA-Factory's own way ties saving to evaluation"

REQUIRED_VALUES = {
    "adapter.init": RequiredValue("default", "LLaMA-Factory's PiSSA needs a script of its own, run by hand", "default"),
    "training.packing": RequiredValue(
        False, "rows come to LLaMA-Factory as tokens, so that it masks what ftsdk masks, and are not packed", "false"
    ),
    "training.quantization_aware": RequiredValue(None, "LLaMA-Factory does not train quantization-aware"),
    "training.early_stopping_patience": RequiredValue(None, _NO_STOP, "leave it out, and look at the held-out losses"),
    "training.early_stopping_threshold": RequiredValue(0.0, _NO_STOP, "leave it out"),
    "report_to": RequiredValue(
        (), "its environment holds no experiment tracker", "leave it out; metrics.jsonl has all values"
    ),
}
"""Fields of which this backend supports one value."""

IGNORED_ADVICE = {
    "compute.memory_limit": "LLaMA-Factory takes what the device has",
    "compute.devices": "a job on this machine has one device",
    "compute.nodes": "a job on this machine has one device",
}
"""Advice that this backend ignores, and why."""
