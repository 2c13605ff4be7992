"""Adapters to TRL's GRPO trainer: prompts that are tokens already, and rewards of the engine."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ftsdk_local.train.rl.prompts import Prompt
from ftsdk_local.train.rl.rewards import Response, Reward
from ftsdk_local.train.rl.sampling import Tokens


class TrlReward:
    """A reward as TRL calls it.

    Args:
        prompts: Training and held-out ones; TRL passes each by its number.
        reward: Scores responses.
        decode: From tokens to text without special tokens.
    """

    __name__ = "reward"  # TRL names its metrics after the function

    def __init__(self, prompts: Sequence[Prompt], reward: Reward, decode: Callable[[Tokens], str]) -> None:
        self.prompts = prompts
        self.reward = reward
        self.decode = decode
        self.responses: list[Response] = []
        """Those of the last call, kept as samples."""
        self.rewards: list[float] = []

    def __call__(self, *, prompts: Sequence[str], completion_ids: Sequence[Sequence[int]], **_: Any) -> list[float]:
        """One number for each response."""
        tokens = [np.array(ids, dtype=np.int32) for ids in completion_ids]
        self.responses = [
            Response(self.prompts[int(prompt)], ids, self.decode(ids))
            for prompt, ids in zip(prompts, tokens, strict=True)
        ]
        self.rewards = self.reward(self.responses)
        return self.rewards


class NumberedPrompts:
    """Mixed in before TRL's trainer: its prompts are numbers of rows in ``prompts``, which are tokens already."""

    prompts: Sequence[Prompt]

    def _tokenize_prompts(self, prompts: Sequence[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        """The tokens of each prompt, without images and other fields."""
        # Replaces TRL's, which renders the chat template and tokenizes by rules of its own: prompts could differ from
        # those of the other methods, and be truncated.
        return [self.prompts[int(prompt)].input_ids.tolist() for prompt in prompts], None, {}

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Nothing: Trainer calls this with each checkpoint, and TRL's card would name local folders."""
