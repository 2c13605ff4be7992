"""What Axolotl uses where its file has no value."""

from collections.abc import Mapping
from typing import Any

DEFAULTS: Mapping[str, Any] = {
    "trust_remote_code": False,
    "lora_dropout": 0.0,
    "peft_use_dora": False,
    "peft_use_rslora": False,
    "val_set_size": 0.0,
    "sequence_len": 512,
    "lr_scheduler": "cosine",
    "num_epochs": 1.0,
    "micro_batch_size": 1,
    "gradient_accumulation_steps": 1,
    "optimizer": "adamw_torch_fused",
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "adam_epsilon": 1e-8,
    "weight_decay": 0.0,
    "max_grad_norm": 1.0,
    "seed": 42,
    "save_total_limit": 4,
    "rl_beta": 0.1,
    "dpo_label_smoothing": 0.0,
    "kto_desirable_weight": 1.0,
    "kto_undesirable_weight": 1.0,
    "center_rewards_coefficient": 0.0,
}
"""What Axolotl uses where the file has no value: its own default, or else that of Transformers or TRL."""
