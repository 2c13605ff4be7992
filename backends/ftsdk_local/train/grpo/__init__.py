"""GRPO, on the trainer of TRL."""
