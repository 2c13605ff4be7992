"""What GRPO and PPO share: prompts, sampled responses, rewards."""
