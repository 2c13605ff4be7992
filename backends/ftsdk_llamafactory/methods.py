"""Tables from each method to LLaMA-Factory's settings. Read in its source, version 0.9.5, and 0.9.3 for PPO."""

from collections.abc import Mapping
from typing import Any

from ftsdk.translation.ledger import RequiredValue

STAGES = {
    "sft": "sft",
    "dpo": "dpo",
    "orpo": "dpo",
    "kto": "kto",
    "reward_modeling": "rm",
    "ppo": "ppo",
}
"""From a method to LLaMA-Factory's stage."""

PPO_TRANSFORMERS = "4.52"
"""The version in PPO's environment."""

REWARD = "reward"
"""The folder of PPO's reward model, in LLaMA-Factory's form."""

OPTIONS: Mapping[str, Mapping[str, str]] = {
    "sft": {},
    "dpo": {"beta": "pref_beta", "loss_type": "pref_loss", "label_smoothing": "dpo_label_smoothing"},
    "orpo": {"beta": "pref_beta"},
    "kto": {"beta": "pref_beta", "desirable_weight": "kto_chosen_weight", "undesirable_weight": "kto_rejected_weight"},
    "reward_modeling": {},
    "ppo": {
        "num_ppo_epochs": "ppo_epochs",
        "num_mini_batches": "ppo_buffer_size",
        "max_new_tokens": "max_new_tokens",
        "whiten_rewards": "ppo_whiten_rewards",
    },
}
"""From a method's fields to LLaMA-Factory's names."""

FIXED: Mapping[str, Mapping[str, Any]] = {
    "dpo": {"pref_ftx": 0.0},
    "orpo": {"pref_loss": "orpo", "pref_ftx": 0.0},
    "kto": {"pref_ftx": 0.0},
    "ppo": {
        "reward_model": REWARD,
        "reward_model_type": "full",
        "ppo_score_norm": False,
        "do_sample": True,
        "temperature": 1.0,
        "top_k": 0,
        "top_p": 1.0,
        "repetition_penalty": 1.0,
    },
}
"""Settings that LLaMA-Factory would otherwise choose itself."""

_CONSTANT = "is a constant in the PPO of LLaMA-Factory's TRL (0.9.6)"

REQUIRED_VALUES: Mapping[str, Mapping[str, RequiredValue]] = {
    "reward_modeling": {
        "method.center_rewards_coefficient": RequiredValue(0.0, "LLaMA-Factory's loss has no such term", "0"),
    },
    "ppo": {
        "method.kl_coef": RequiredValue(0.2, f"the first coefficient {_CONSTANT}: 0.2", "0.2"),
        "method.kl_estimator": RequiredValue("k1", f"the log-ratio {_CONSTANT}", "k1"),
        "method.cliprange": RequiredValue(0.2, f"0.2 {_CONSTANT}", "0.2"),
        "method.cliprange_value": RequiredValue(0.2, f"0.2 {_CONSTANT}", "0.2"),
        "method.vf_coef": RequiredValue(0.1, f"0.1 {_CONSTANT}", "0.1"),
        "method.gamma": RequiredValue(1.0, f"1 {_CONSTANT}", "1"),
        "method.lam": RequiredValue(0.95, f"0.95 {_CONSTANT}", "0.95"),
        "method.temperature": RequiredValue(
            1.0, "LLaMA-Factory takes log-probabilities at temperature 1, whatever it samples", "1"
        ),
        "method.missing_eos_penalty": RequiredValue(
            0.0, "LLaMA-Factory takes nothing off a response that does not end", "0"
        ),
    },
}
"""Fields of a method of which LLaMA-Factory supports one value."""

TARGET_KL = 6.0
"""LLaMA-Factory always adapts the coefficient; this is its own target, sent where the spec has none."""

ADAPTER_ONLY = {
    "reward_modeling": "LLaMA-Factory 0.9.5 trains, and then fails to save, a whole reward model with tied embeddings",
    "ppo": "without an adapter, PPO needs a full reference model beside the policy",
}
"""From a method that needs an adapter to the reason."""

METHOD_WARNINGS = {
    "reward_modeling": (
        "LLaMA-Factory drops out a tenth before the score",
        "LLaMA-Factory gives the score a bias; the artifact is without it: it moves all rewards alike",
        "LLaMA-Factory cannot resume a reward model from a checkpoint: a resumed job starts again",
    ),
    "ppo": (
        "PPO needs LLaMA-Factory 0.9.3, with the TRL of 2024 (0.9.6), in an environment of its own",
        "LLaMA-Factory's PPO cannot resume from a checkpoint: a resumed job starts again",
        "LLaMA-Factory keeps the full reward model in memory beside the policy",
    ),
}
"""Warnings of the plan, from a method."""
