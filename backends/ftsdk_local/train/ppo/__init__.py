"""PPO on one base."""
