"""How the model learns: one small model for each method, discriminated by ``type``."""

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer

from ftsdk.spec.base import SpecSection

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def is_function(reward: str) -> bool:
    """Whether a reward is a Python function, ``module:function``; the dash in a job's reference is in no name."""
    return _FUNCTION.fullmatch(reward) is not None


class _Tagged(SpecSection):
    type: str

    @model_serializer(mode="wrap")
    def _write_type(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The type is written even when unset fields are left out: without it nothing could be read back."""
        return {"type": self.type, **serialize(self)}


class SFT(_Tagged):
    """Supervised fine-tuning: the next-token loss on the tokens that ``train_on`` names."""

    type: Literal["sft"] = "sft"
    train_on: Literal["assistant", "completion", "all"] = "assistant"
    """Which tokens carry the loss: every assistant turn, only the last one (the completion), or all tokens."""


class DPO(_Tagged):
    """Direct preference optimization (arXiv 2305.18290) on prompt, chosen and rejected."""

    type: Literal["dpo"] = "dpo"
    beta: Positive = 0.1
    """How strongly the policy is kept close to the reference."""
    loss_type: Literal["sigmoid", "ipo", "hinge"] = "sigmoid"
    """The loss on the difference of log-ratios."""
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    """The assumed share of swapped labels (conservative DPO)."""


class KTO(_Tagged):
    """Kahneman-Tversky optimization (arXiv 2402.01306) on single completions with a good or bad label."""

    type: Literal["kto"] = "kto"
    beta: Positive = 0.1
    """How strongly the policy is kept close to the reference."""
    desirable_weight: Positive = 1.0
    """Weight of the rows labelled good."""
    undesirable_weight: Positive = 1.0
    """Weight of the rows labelled bad."""


class ORPO(_Tagged):
    """Odds-ratio preference optimization (arXiv 2403.07691): preference and SFT in one loss, without a reference."""

    type: Literal["orpo"] = "orpo"
    beta: Positive = 0.1
    """Weight of the odds-ratio term (lambda in the paper)."""


class RewardModeling(_Tagged):
    """A reward model from prompt, chosen and rejected (Bradley-Terry loss)."""

    type: Literal["reward_modeling"] = "reward_modeling"
    center_rewards_coefficient: NonNegative = 0.0
    """Weight of the term that keeps rewards around zero (arXiv 2312.09244)."""


class PPO(_Tagged):
    """Proximal policy optimization (arXiv 1707.06347, 2203.02155) against a reward."""

    type: Literal["ppo"] = "ppo"
    reward: Annotated[str, Field(min_length=1)]
    """A reward model (artifact folder, job reference or Hub id), or a Python function as ``module:function``."""
    kl_coef: NonNegative = 0.05
    """Weight of the per-token KL penalty against the reference."""
    kl_estimator: Literal["k1", "k3"] = "k1"
    """``k1``: the log-ratio; ``k3``: unbiased and never negative (http://joschu.net/blog/kl-approx.html)."""
    target_kl: Positive | None = None
    """KL per response that the coefficient is steered to. None: the coefficient stays as it is."""
    num_ppo_epochs: Count = 4
    """Passes over each batch of rollouts."""
    num_mini_batches: Count = 1
    """Optimizer steps in each pass."""
    max_new_tokens: Count = 256
    """Longest response, in tokens."""
    temperature: Positive = 1.0
    """Temperature of sampling and of the log-probabilities."""
    cliprange: Positive = 0.2
    """Range of the policy's probability ratio around 1."""
    cliprange_value: Positive = 0.2
    """Range of the value around its old prediction."""
    vf_coef: NonNegative = 0.1
    """Weight of the value loss."""
    gamma: Share = 1.0
    """Discount per token."""
    lam: Share = 0.95
    """Lambda of generalized advantage estimation (arXiv 1506.02438)."""
    whiten_rewards: bool = False
    """Scale rewards to unit variance, without moving their mean."""
    missing_eos_penalty: NonNegative = 1.0
    """Taken off the score of a response that does not end by itself."""


class GRPO(_Tagged):
    """Group relative policy optimization (arXiv 2402.03300) against a reward."""

    type: Literal["grpo"] = "grpo"
    reward: Annotated[str, Field(min_length=1)]
    """A reward model (artifact folder, job reference or Hub id), or a Python function as ``module:function``."""
    num_generations: Annotated[int, Field(ge=2)] = 8
    """Responses sampled for each prompt."""
    beta: NonNegative = 0.0
    """Weight of the KL penalty against the reference."""
    epsilon: Positive = 0.2
    """Range of the probability ratio around 1."""
    max_new_tokens: Count = 256
    """Longest response, in tokens."""
    temperature: Positive = 1.0
    """Temperature of sampling."""


def _method_from_name(value: Any) -> Any:
    if isinstance(value, str):
        return {"type": value}
    return {"type": "sft", **value} if isinstance(value, dict) else value


Method = Annotated[
    SFT | DPO | KTO | ORPO | RewardModeling | PPO | GRPO,
    Field(discriminator="type"),
    BeforeValidator(_method_from_name),
]
"""Any of the methods; in a file, a bare name (``method: dpo``) is the method with its defaults; no type is SFT."""
