"""What Axolotl cannot be told, as tables. Read in its source, version 0.19.0."""

from ftsdk.translation.ledger import RequiredValue

ONLY = {
    "training.packing": RequiredValue(
        False, "rows come to Axolotl as tokens, so that it masks what ftsdk masks, and are not packed", "false"
    ),
    "training.quantization_aware": RequiredValue(None, "this backend does not train quantization-aware"),
    "training.early_stopping_threshold": RequiredValue(0.0, "Axolotl stops at any worse loss", "leave it out"),
    "report_to": RequiredValue(
        (), "its environment holds no experiment tracker", "leave it out; metrics.jsonl has all values"
    ),
}
"""Fields with one possible value."""

ADVICE = {
    "compute.memory_limit": "Axolotl takes what the device has",
    "compute.devices": "a job on this machine has one device",
    "compute.nodes": "a job on this machine has one device",
}
"""Advice that this backend does not pass on, and why."""
