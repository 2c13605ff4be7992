"""What LLaMA-Factory cannot be told, as tables. Read in its source, version 0.9.5."""

from ftsdk.translation.ledger import RequiredValue

_NO_STOP = "this backend does not stop early: LLaMA-Factory's own way ties saving to evaluation"

ONLY = {
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
"""Fields with one possible value."""

ADVICE = {
    "compute.memory_limit": "LLaMA-Factory takes what the device has",
    "compute.devices": "a job on this machine has one device",
    "compute.nodes": "a job on this machine has one device",
}
"""Advice that LLaMA-Factory does not take, and why."""
