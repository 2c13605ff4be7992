"""One update of PPO: sample responses, score them, update policy and value; the mathematics is in ``math``.

Shapes: B responses, R tokens of the longest, N tokens of a minibatch's responses.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ftsdk.spec import PPO
from ftsdk_local.train.ppo.actor import Actor
from ftsdk_local.train.ppo.math import (
    KL_ESTIMATORS,
    advantages,
    clipped_share,
    explained_variance,
    masked_mean,
    policy_losses,
    token_rewards,
    value_losses,
    whiten,
)
from ftsdk_local.train.ppo.roles import POLICY, REFERENCE, VALUE
from ftsdk_local.train.ppo.rollouts import Rollouts, has_stopped, make_rollouts
from ftsdk_local.train.rl.prompts import Prompt
from ftsdk_local.train.rl.rewards import Response, Reward
from ftsdk_local.train.rl.sampling import Tokens

Metrics = dict[str, float]


class RolloutBatch(NamedTuple):
    """Rollouts with the numbers that PPO learns from; B x R each, 0 at padding."""

    rollouts: Rollouts
    rewards_B: Tensor
    """As the reward gave them."""
    old_log_probs_BR: Tensor
    values_BR: Tensor
    advantages_BR: Tensor
    returns_BR: Tensor


@dataclass(frozen=True)
class RolloutScorer:
    """Samples responses and computes their advantages.

    Args:
        actor: The base with its roles.
        reward: Gives each response's score.
        decode: From tokens to text without special tokens.
        stops: Tokens that end a response.
        options: PPO's own settings.
    """

    actor: Actor
    reward: Reward
    decode: Callable[[Tokens], str]
    stops: frozenset[int]
    options: PPO

    def sample_responses(self, prompts: Sequence[Prompt], rng: np.random.Generator) -> list[Response]:
        """One response of the policy to each prompt."""
        tokens = self.actor.generate(
            POLICY,
            [prompt.input_ids for prompt in prompts],
            rng.random((len(prompts), self.options.max_new_tokens)),
            temperature=self.options.temperature,
            stops=self.stops,
        )
        return [Response(*pair, self.decode(pair[1])) for pair in zip(prompts, tokens, strict=True)]

    def score_responses(self, responses: Sequence[Response]) -> tuple[Tensor, Tensor]:
        """The reward of each response, and the same less the penalty for not ending; B each."""
        rewards_B = torch.tensor(self.reward(responses), device=self.actor.device)
        if not self.stops:
            return rewards_B, rewards_B
        open_B = ~torch.tensor(has_stopped(responses, self.stops), device=self.actor.device)
        return rewards_B, rewards_B - self.options.missing_eos_penalty * open_B

    def score(self, responses: Sequence[Response], kl_coef: float) -> tuple[RolloutBatch, Metrics]:
        """What PPO learns from some responses.

        Args:
            responses: From :meth:`sample_responses`.
            kl_coef: Weight of the KL penalty.
        """
        actor, options = self.actor, self.options
        rollouts = make_rollouts(responses, actor.device)
        mask_BR = rollouts.mask_BR

        # 1. The score of each response
        rewards_B, scores_B = self.score_responses(responses)

        # 2. Log-probabilities of each token by policy and reference, and the value before it. The policy's are computed
        #    again, not kept from sampling: with left padding and a cache they differ in their last bits, and the first
        #    ratio would not be exactly 1.
        log_probs_BR, entropy_BR = actor.forward(
            rollouts, POLICY, lambda bin_: actor.log_probs(bin_, options.temperature)
        )
        reference_BR, _ = actor.forward(rollouts, REFERENCE, lambda bin_: actor.log_probs(bin_, options.temperature))
        (values_BR,) = actor.forward(rollouts, VALUE, lambda bin_: [actor.values(bin_)])

        # 3. The reward of each token: the KL penalty, and the score at the last one (arXiv 1909.08593, section 2)
        kl_BR = KL_ESTIMATORS[options.kl_estimator](reference_BR - log_probs_BR)
        rewards_BR = token_rewards(kl_BR, scores_B, rollouts.last_B, kl_coef)
        if options.whiten_rewards:
            # Without a shift of the mean: a shifted reward would change with the length of the response.
            rewards_BR = whiten(rewards_BR, mask_BR, shift_mean=False)

        # 4. The advantage of each token. Returns take the raw advantages: the value learns real rewards, and only the
        #    policy's are whitened.
        raw_BR = advantages(rewards_BR, values_BR, options.gamma, options.lam) * mask_BR
        returns_BR = raw_BR + values_BR
        metrics = {
            "reward": rewards_B.mean().item(),
            "score": scores_B.mean().item(),
            "kl": kl_BR.sum(1).mean().item(),
            "entropy": masked_mean(entropy_BR, mask_BR).item(),
            "length": mask_BR.sum(1).double().mean().item(),
            "ended": float(np.mean(has_stopped(responses, self.stops))),
            "kl_coef": kl_coef,
        }
        share = explained_variance(values_BR, returns_BR, mask_BR)
        if share is not None:
            metrics["explained_variance"] = share
        batch = RolloutBatch(rollouts, rewards_B, log_probs_BR, values_BR, whiten(raw_BR, mask_BR), returns_BR)
        return batch, metrics


@dataclass(frozen=True)
class PolicyUpdater:
    """Updates policy and value.

    Args:
        actor: The base with its roles.
        optimizer: Over the weights of policy and value.
        scaler: Scales the loss, so that small gradients survive in float16.
        max_grad_norm: Of the policy's gradients, and separately of the value's; 0: not clipped.
        options: PPO's own settings.
    """

    actor: Actor
    optimizer: torch.optim.Optimizer
    scaler: Any
    max_grad_norm: float
    options: PPO

    def update(self, batch: RolloutBatch, rng: np.random.Generator) -> Metrics:
        """All epochs and minibatches over some rollouts.

        Args:
            batch: From :meth:`RolloutScorer.score`.
            rng: Shuffles the minibatches.

        Returns:
            Means over the optimizer steps.
        """
        count = len(batch.rollouts.rows)
        self.actor.roles.base.train()
        steps = [
            self._step(batch, minibatch.tolist())
            for _ in range(self.options.num_ppo_epochs)
            for minibatch in np.array_split(rng.permutation(count), min(self.options.num_mini_batches, count))
        ]
        return {name: float(np.mean([step[name] for step in steps])) for name in steps[0]}

    def _step(self, batch: RolloutBatch, rows: list[int]) -> Metrics:
        """One optimizer step on a minibatch."""
        sums = self.actor.until_it_fits(lambda: self._backward(batch, rows), batch.rollouts.rows)
        # Norms are of unscaled gradients, and of each role apart: one norm over both would let a large error of the
        # value shrink the policy's step.
        self.scaler.unscale_(self.optimizer)
        norms = {role: self._clip(role) for role in (POLICY, VALUE)}
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        tokens = int(batch.rollouts.mask_BR[rows].sum())
        means = {name: total.item() / tokens for name, total in sums.items()}
        variance = max(means.pop("squared_ratio") - means["ratio"] ** 2, 0.0)
        loss = means["policy_loss"] + self.options.vf_coef * means["value_loss"]
        return {
            "loss": loss,
            **means,
            "ratio_variance": variance,
            "grad_norm": norms[POLICY],
            "value_grad_norm": norms[VALUE],
        }

    def _backward(self, batch: RolloutBatch, rows: list[int]) -> dict[str, Tensor]:
        """Add the gradients of a minibatch's mean losses to the weights; returns sums over its tokens."""
        # Means are over the tokens of the minibatch, so each bin is divided by their number, not by its own.
        tokens = int(batch.rollouts.mask_BR[rows].sum())
        sums: dict[str, Tensor] = {}
        for indices, bin_ in self.actor.bins(batch.rollouts.rows, rows):
            tensors = (batch.old_log_probs_BR, batch.values_BR, batch.advantages_BR, batch.returns_BR)
            old_N, old_values_N, advantages_N, returns_N = (
                batch.rollouts.gather(tensor_BR, indices) for tensor_BR in tensors
            )

            # Each role has its backward pass before the forward pass of the next: one set of activations at a time.
            with self.actor.roles.active_adapter(POLICY):
                with self.actor.autocast():
                    new_N = self.actor.log_probs(bin_, self.options.temperature).log_probs_N
                policy_N = policy_losses(new_N, old_N, advantages_N, self.options.cliprange)
                self.scaler.scale(policy_N.sum() / tokens).backward()
            with self.actor.roles.active_adapter(VALUE):
                with self.actor.autocast():
                    values_N = self.actor.values(bin_)
                value_N = value_losses(values_N, old_values_N, returns_N, self.options.cliprange_value)
                self.scaler.scale(self.options.vf_coef * value_N.sum() / tokens).backward()

            new_N, values_N = new_N.detach(), values_N.detach()
            ratio_N = (new_N - old_N).exp()
            metrics = {
                "policy_loss": policy_N.detach(),
                "value_loss": value_N.detach(),
                "approx_kl": 0.5 * (new_N - old_N).square(),
                "clip_fraction": clipped_share(new_N, old_N, advantages_N, self.options.cliprange),
                "value_clip_fraction": ((values_N - old_values_N).abs() > self.options.cliprange_value).float(),
                "ratio": ratio_N,
                "squared_ratio": ratio_N.square(),
            }
            sums = {name: sums.get(name, 0) + numbers_N.double().sum() for name, numbers_N in metrics.items()}
        return sums

    def _clip(self, role: str) -> float:
        weights = [weight for weight in self.actor.roles.weights(role).values() if weight.grad is not None]
        return float(torch.nn.utils.clip_grad_norm_(weights, self.max_grad_norm or float("inf")))
