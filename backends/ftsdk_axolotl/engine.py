"""Axolotl as an engine: its environment, its options, and the fields of a spec that it does not support.

Read in its source, version 0.19.0. The lock file is made by scripts/lock_engine.py.
"""

from pathlib import Path

from ftsdk.engines.backend import EngineOptions
from ftsdk.engines.environment import EngineEnvironment
from ftsdk.translation.ledger import RequiredValue

ENGINE_ENVIRONMENT = EngineEnvironment(
    name="axolotl",
    package="axolotl",
    lock=Path(__file__).with_name("lock.txt"),
    python="3.11",
    size=3_000_000_000,
)


class AxolotlOptions(EngineOptions):
    """``backend_options.axolotl`` in the spec: what every engine has."""


REQUIRED_VALUES = {
    "training.packing": RequiredValue(
        False, "rows come to Axolotl as tokens, so that it masks what ftsdk masks, and are not packed", "false"
    ),
    "training.quantization_aware": RequiredValue(None, "this backend does not train quantization-aware"),
    "training.early_stopping_threshold": RequiredValue(0.0, "Axolotl stops at any worse loss", "leave it out"),
    "report_to": RequiredValue(
        (), "its environment holds no experiment tracker", "leave it out; metrics.jsonl has all values"
    ),
}
"""Fields of which this backend supports one value."""

IGNORED_ADVICE = {
    "compute.memory_limit": "Axolotl takes what the device has",
    "compute.devices": "a job on this machine has one device",
    "compute.nodes": "a job on this machine has one device",
}
"""Advice that this backend ignores, and why."""
