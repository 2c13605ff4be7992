"""The formats of rows that a method learns from, where we bring rows into their canonical form ourselves."""

from ftsdk.data import TAKES

_CONVERTED = {
    "sft": ("alpaca", "sharegpt"),
    "ppo": ("alpaca", "sharegpt"),
    "grpo": ("alpaca", "sharegpt"),
    "dpo": ("sharegpt",),
    "orpo": ("sharegpt",),
    "reward_modeling": ("sharegpt",),
    "kto": ("sharegpt",),
}

FORMATS = {method: frozenset({*TAKES[method], *_CONVERTED[method]}) for method in TAKES}
"""From a method to the names of its formats, without ``auto``."""
