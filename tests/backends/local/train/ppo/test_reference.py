"""Ours against TRL 1.12's PPO, tensor by tensor: scripts/capture_trl_ppo.py took them from its trainer, in float64.

One convention differs. Where a response ends early, TRL pays its score one place behind the last token, and keeps the
value that was predicted there as if one more token followed: the last token's return leans on that value, and the
place counts in the value's loss and in the whitening of rewards. With us a response is over at its last token, and
what follows is worth 0. So the formulas are compared with that place taken for a token, the engine's own way where
both agree, and the difference in closed form.
"""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ftsdk.spec import PPO
from ftsdk_local.train.ppo.math import (
    KL_ESTIMATORS,
    advantages,
    clipped_share,
    masked_mean,
    policy_losses,
    token_rewards,
    value_losses,
    whiten,
)
from ftsdk_local.train.ppo.roles import POLICY, REFERENCE, VALUE
from ftsdk_local.train.ppo.update import RolloutScorer
from ftsdk_local.train.rl.rewards import Response

pytestmark = pytest.mark.numeric

GOLDEN = Path(__file__).parents[2] / "golden" / "ppo"
CASES = {case["name"]: case for case in map(json.loads, (GOLDEN / "cases.jsonl").read_text("utf-8").splitlines())}
EXACT = {"rtol": 1e-12, "atol": 1e-12}


@pytest.fixture
def trl(request):
    """What TRL computed in one case; the batch's log-probabilities it samples in float32, all else is float64."""
    tensors = load_file(GOLDEN / f"{request.param}.safetensors")
    wide = {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    return SimpleNamespace(**wide, **CASES[request.param])


def every_case(test):
    return pytest.mark.parametrize("trl", CASES, indirect=True)(test)


def steps_of(trl):
    """Each optimizer step's rows, log-probabilities and values."""
    return list(zip(trl.step_rows, trl.step_log_probs, trl.step_values, strict=True))


def policy_loss(trl, rows, new):
    losses = policy_losses(new, trl.log_probs[rows], trl.advantages[rows], trl.cliprange)
    return masked_mean(losses, trl.mask[rows])


def value_loss(trl, rows, new):
    losses = value_losses(new, trl.values[rows], trl.returns[rows], trl.cliprange_value)
    return masked_mean(losses, trl.mask_and_slot[rows])


@every_case
def test_kl(trl):
    """Both estimators of the KL."""
    actual = KL_ESTIMATORS[trl.kl_estimator](trl.reference_log_probs - trl.log_probs)

    torch.testing.assert_close(actual, trl.kl, **EXACT)


@every_case
def test_rewards(trl):
    """The penalty at each token, the score at the last, whitened or not."""
    actual = token_rewards(trl.kl, trl.scores, trl.mask_and_slot.sum(1) - 1, trl.kl_coef)

    actual = whiten(actual, trl.mask_and_slot, shift_mean=False) if trl.whiten_rewards else actual
    torch.testing.assert_close(actual, trl.rewards, **EXACT)


@every_case
def test_advantages_and_returns(trl):
    """Advantages over padded responses, whitened over the tokens, and the returns."""
    actual = advantages(trl.rewards, trl.values, trl.gamma, trl.lam)

    torch.testing.assert_close(actual + trl.values, trl.returns, **EXACT)
    torch.testing.assert_close(whiten(actual, trl.mask), trl.advantages, **EXACT)


@every_case
def test_losses(trl):
    """The clipped losses of every minibatch in every epoch."""
    actual = [(policy_loss(trl, rows, new), value_loss(trl, rows, value)) for rows, new, value in steps_of(trl)]

    expected = list(zip(trl.step_policy_loss, trl.step_value_loss, strict=True))
    torch.testing.assert_close(actual, expected, **EXACT)


@every_case
def test_gradients(trl):
    """The gradients of each token's log-probability and value, with the weight of the value's loss."""
    for step, (rows, new, value) in enumerate(steps_of(trl)):
        new.requires_grad_(), value.requires_grad_()

        (policy_loss(trl, rows, new) + trl.vf_coef * value_loss(trl, rows, value)).backward()

        expected = (trl.step_log_probs_gradient[step], trl.step_values_gradient[step])
        torch.testing.assert_close((new.grad, value.grad), expected, **EXACT)


@every_case
def test_clip_fraction(trl):
    """The share of tokens at which the policy's loss is clipped; TRL takes this mean in float32."""
    actual = [
        masked_mean(clipped_share(new, trl.log_probs[rows], trl.advantages[rows], trl.cliprange), trl.mask[rows])
        for rows, new, _ in steps_of(trl)
    ]

    torch.testing.assert_close(torch.stack(actual), trl.clip_fraction.flatten(), rtol=1e-6, atol=0)


class Actor:
    """Gives TRL's numbers for every token."""

    device = torch.device("cpu")

    def __init__(self, trl) -> None:
        zeros = torch.zeros_like(trl.values)
        self.outputs = {
            POLICY: [trl.log_probs * trl.mask, zeros],
            REFERENCE: [trl.reference_log_probs * trl.mask, zeros],
            VALUE: [trl.values * trl.mask],
        }

    def forward(self, rollouts, role, compute):
        return self.outputs[role]


def score_responses(trl):
    """TRL's responses on our engine's way from scores to advantages."""
    prompt = SimpleNamespace(input_ids=np.array([2], dtype=np.int32))
    responses = [
        Response(prompt, tokens[mask].numpy(), "") for tokens, mask in zip(trl.responses, trl.mask, strict=True)
    ]
    names = ("kl_coef", "kl_estimator", "gamma", "lam", "whiten_rewards")
    options = PPO(
        reward="module:function",
        missing_eos_penalty=trl.missing_eos_penalty or 0.0,
        **{name: getattr(trl, name) for name in names},
    )
    stops = frozenset({trl.end} if hasattr(trl, "stop_token") else ())
    scorer = RolloutScorer(Actor(trl), lambda _: trl.rewarded.tolist(), str, stops, options)
    return scorer.score(responses, trl.kl_coef)


@every_case
def test_penalty_for_not_ending(trl):
    """The engine takes it off the scores of the same responses; it keeps scores in float32."""
    _, metrics = score_responses(trl)

    assert metrics["score"] == pytest.approx(trl.scores.mean().item(), rel=1e-6)


@pytest.mark.parametrize("trl", ["k1", "k3", "k1-whitened", "stop-lambda-1"], indirect=True)
def test_from_scores_to_advantages(trl):
    """The engine comes to TRL's advantages and returns where no response ends early, or gamma and lambda are 1."""
    actual, _ = score_responses(trl)

    torch.testing.assert_close(actual.advantages_BR, trl.advantages, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(actual.returns_BR, trl.returns * trl.mask, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("trl", ["stop", "stop-penalty"], indirect=True)
def test_where_responses_end_early(trl):
    """Ours less TRL's advantage at the last token is (1 - lambda) times score less TRL's value behind it, and decays.

    TRL's sum for the last token holds that value; ours holds the score itself.
    """
    actual, _ = score_responses(trl)

    early = trl.mask_and_slot.sum(1) > trl.mask.sum(1)
    length = trl.mask.sum(1)[early]
    behind = trl.values[early].gather(1, length[:, None])
    before = (length[:, None] - 1 - torch.arange(trl.mask.shape[1])).clamp_min(0)
    expected = (1 - trl.lam) * (trl.scores[early, None] - behind) * trl.lam**before * trl.mask[early]
    difference = ((actual.returns_BR - trl.returns) * trl.mask)[early]
    torch.testing.assert_close(difference, expected, rtol=1e-5, atol=1e-6)
