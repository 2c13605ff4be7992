"""What Unsloth cannot be told, as tables. Read in its source, version 2026.10.9, and tried on a CPU."""

from ftsdk.translation.ledger import RequiredValue

ONLY = {
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
"""Fields with one possible value."""

ADVICE = {
    "compute.attention": "on a card Unsloth computes attention in its own way",
    "compute.double_quantization": "Unsloth quantizes the scales of 4 bits in any case",
    "compute.memory_limit": "Unsloth takes what the device has",
    "compute.devices": "a job on this machine has one device",
    "compute.nodes": "a job on this machine has one device",
}
"""Advice that Unsloth does not take, and why."""

NOTES = {
    "kto": ("method.type", "KTO's KL is estimated on the rows that are computed at a time, as TRL does it"),
    "orpo": ("method.type", "ORPO's SFT loss is a mean over the tokens that are computed at a time, as TRL does it"),
}
"""What TRL decides by itself, from a method."""
