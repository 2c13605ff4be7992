"""The mathematics of PPO: small pure functions, each formula once.

After "Proximal Policy Optimization Algorithms" (arXiv 1707.06347), "High-Dimensional Continuous Control Using
Generalized Advantage Estimation" (arXiv 1506.02438) and "Fine-Tuning Language Models from Human Preferences" (arXiv
1909.08593).

Shapes: B responses, R tokens of the longest response. A mask is true at the tokens of a response; behind its end is
padding, which is 0 in every argument. Functions without a mask are elementwise, of any shape.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

_EPSILON = 1e-8  # keeps the whitening of equal numbers finite
# Gain and clipping of the KL controller: arXiv 1909.08593, section 2.2.
_GAIN = 0.1
_LARGEST_ERROR = 0.2

# k1 is the log-ratio itself: unbiased, but negative for about half of the tokens. k3 adds a term whose mean is 0, so
# that it is unbiased, too, never negative, and varies less.
KL_ESTIMATORS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "k1": lambda log_ratio: -log_ratio,
    "k3": lambda log_ratio: log_ratio.exp() - 1 - log_ratio,
}
"""From an estimator to its value at ``log reference - log policy`` (http://joschu.net/blog/kl-approx.html)."""


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """The mean where the mask is true."""
    return (values * mask).sum() / mask.sum()


def whiten(values: Tensor, mask: Tensor, *, shift_mean: bool = True) -> Tensor:
    """Scale to unit variance (unbiased) over the mask, and with ``shift_mean`` to zero mean; 0 outside the mask."""
    # Over the tokens of all responses at once, as in the reference implementations: a mean of means of responses would
    # weigh the tokens of short responses more.
    count = mask.sum()
    mean = masked_mean(values, mask)
    variance = ((values - mean).square() * mask).sum() / (count - 1).clamp_min(1)
    whitened = (values - mean) * torch.rsqrt(variance + _EPSILON)
    return (whitened if shift_mean else whitened + mean) * mask


def token_rewards(kl_BR: Tensor, scores_B: Tensor, last_B: Tensor, kl_coef: float) -> Tensor:
    """The reward of each token: the penalty for leaving the reference, and at the last token the response's score.

    Args:
        kl_BR: Estimated KL of each token; 0 at padding.
        scores_B: The score of each response.
        last_B: The place of each response's last token.
        kl_coef: Weight of the penalty.
    """
    return (-kl_coef * kl_BR).scatter_add(1, last_B[:, None], scores_B[:, None].to(kl_BR.dtype))


def advantages(rewards_BR: Tensor, values_BR: Tensor, gamma: float, lam: float) -> Tensor:
    """Generalized advantage estimation (arXiv 1506.02438), backwards over the tokens.

    Args:
        rewards_BR: Reward of each token.
        values_BR: Value before each token; 0 behind a response's end.
        gamma: Discount per token.
        lam: Weight of longer looks ahead.
    """
    # A response ends with its last token, so the value behind it is 0: no bootstrapping. At padding rewards and values
    # are 0, so the recursion arrives at the last token with 0, whatever the length of the others.
    following_BR = torch.cat([values_BR[:, 1:], torch.zeros_like(values_BR[:, :1])], 1)
    delta_BR = rewards_BR + gamma * following_BR - values_BR
    advantage_BR = torch.empty_like(delta_BR)
    running_B = torch.zeros_like(delta_BR[:, 0])
    for place in reversed(range(delta_BR.shape[1])):
        running_B = delta_BR[:, place] + gamma * lam * running_B
        advantage_BR[:, place] = running_B
    return advantage_BR


def policy_losses(new: Tensor, old: Tensor, advantage: Tensor, cliprange: float) -> Tensor:
    """The clipped surrogate loss of each token.

    Args:
        new: Log-probability under the policy in training.
        old: The same when the response was sampled.
        advantage: Of the token.
        cliprange: Range of the probability ratio around 1.
    """
    ratio = (new - old).exp()
    return torch.maximum(-advantage * ratio, -advantage * ratio.clamp(1 - cliprange, 1 + cliprange))


def value_losses(new: Tensor, old: Tensor, returned: Tensor, cliprange: float) -> Tensor:
    """Half the squared error of each value, or of the value clipped near the old one, whichever is larger.

    Args:
        new: Value in training.
        old: The same when the response was sampled.
        returned: The return: advantage plus old value.
        cliprange: How far the value may move from the old one.
    """
    clipped = torch.minimum(torch.maximum(new, old - cliprange), old + cliprange)
    return 0.5 * torch.maximum((new - returned).square(), (clipped - returned).square())


def clipped_share(new: Tensor, old: Tensor, advantage: Tensor, cliprange: float) -> Tensor:
    """1 where the clipping of the policy's loss takes effect, else 0."""
    ratio = (new - old).exp()
    return ((advantage > 0) & (ratio > 1 + cliprange) | (advantage < 0) & (ratio < 1 - cliprange)).to(new.dtype)


def explained_variance(values: Tensor, returned: Tensor, mask: Tensor) -> float | None:
    """The share of the returns' variance that the values predict: 1 all, 0 none; None where the returns do not vary."""
    chosen, error = returned[mask], (returned - values)[mask]
    spread = chosen.var(correction=0)
    return float(1 - error.var(correction=0) / spread) if spread > 0 else None


def next_kl_coef(kl_coef: float, kl: float, target: float | None) -> float:
    """The next KL coefficient: raised while the KL is above its target, lowered while below; constant without one.

    Args:
        kl_coef: The coefficient so far.
        kl: KL of a response, summed over its tokens, mean over the batch.
        target: What the KL should be; None: no controller.
    """
    if target is None:
        return kl_coef
    error = max(-_LARGEST_ERROR, min(kl / target - 1, _LARGEST_ERROR))
    return kl_coef * (1 + _GAIN * error)
