"""Each formula of PPO against a closed form, or against the same in another form, in float64."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ftsdk_local.train.ppo.math import (
    KL_ESTIMATORS,
    advantages,
    clipped_share,
    explained_variance,
    masked_mean,
    next_kl_coef,
    policy_losses,
    token_rewards,
    value_losses,
    whiten,
)

pytestmark = pytest.mark.numeric

LENGTHS = st.lists(st.integers(1, 7), min_size=2, max_size=5)


def random_numbers(lengths, seed=0):
    """Random numbers for responses of the given lengths, 0 at padding; and the mask."""
    mask = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
    random = torch.Generator().manual_seed(seed)
    return torch.randn(mask.shape, generator=random, dtype=torch.float64) * mask, mask


def test_k1_is_the_log_ratio():
    """k1 is log policy - log reference."""
    assert KL_ESTIMATORS["k1"](torch.tensor(-0.3)).item() == pytest.approx(0.3)


def test_k3_is_never_negative_and_unbiased():
    """k3 is at least 0 everywhere, and its mean over the policy is the KL divergence."""
    policy, reference = torch.tensor([0.7, 0.2, 0.1]).double(), torch.tensor([0.3, 0.3, 0.4]).double()

    estimates = KL_ESTIMATORS["k3"](reference.log() - policy.log())

    assert estimates.min() >= 0
    assert (policy * estimates).sum().item() == pytest.approx((policy * (policy / reference).log()).sum().item())


def test_the_score_falls_on_the_last_token():
    """Every token pays for its KL, and the last of each response has the score on top."""
    kl = torch.tensor([[1.0, 2.0, 0.0], [4.0, 0.0, 0.0]])

    actual = token_rewards(kl, torch.tensor([10.0, 20.0]), torch.tensor([1, 0]), 0.5)

    assert actual.tolist() == [[-0.5, 9.0, 0.0], [18.0, 0.0, 0.0]]


@given(LENGTHS)
@settings(max_examples=50, deadline=None)
def test_whitened_numbers_have_mean_0_and_variance_1(lengths):
    """Over the mask, whatever the padding; outside it they are 0."""
    numbers, mask = random_numbers([*lengths, 7])

    actual = whiten(numbers, mask)

    chosen = actual[mask]
    assert (chosen.mean().item(), chosen.var().item()) == (pytest.approx(0, abs=1e-9), pytest.approx(1, rel=1e-6))
    assert actual[~mask].abs().sum() == 0


def test_whitening_can_leave_the_mean():
    """Rewards are scaled without a shift, so that a good response stays good."""
    numbers, mask = random_numbers([5, 3])

    assert masked_mean(whiten(numbers, mask, shift_mean=False), mask).item() == pytest.approx(
        masked_mean(numbers, mask).item()
    )


def test_equal_numbers_whiten_to_nothing():
    """Where nothing varies there is nothing to learn, and no division by zero."""
    assert whiten(torch.full((2, 3), 4.0), torch.ones(2, 3, dtype=torch.bool)).abs().max() == 0


@given(LENGTHS, st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_advantages_are_the_discounted_errors(lengths, gamma, lam):
    """The recursion gives the sum of (gamma lambda)^k times the TD error k tokens ahead (arXiv 1506.02438, eq. 16)."""
    (rewards, mask), (values, _) = random_numbers(lengths, 1), random_numbers(lengths, 2)

    actual = advantages(rewards, values, gamma, lam) * mask

    for row, length in enumerate(lengths):
        ahead = [*values[row, 1:length].tolist(), 0.0]
        td_errors = [rewards[row, t].item() + gamma * ahead[t] - values[row, t].item() for t in range(length)]
        expected = [sum((gamma * lam) ** (k - t) * td_errors[k] for k in range(t, length)) for t in range(length)]
        assert actual[row, :length].tolist() == pytest.approx(expected, abs=1e-9)


def test_with_lambda_1_the_return_is_the_rewards_to_come():
    """With gamma and lambda 1 advantage plus value is the plain sum of what follows."""
    (rewards, mask), (values, _) = random_numbers([4, 2], 1), random_numbers([4, 2], 2)

    returns = (advantages(rewards, values, 1.0, 1.0) + values) * mask

    assert torch.allclose(returns, rewards.flip(1).cumsum(1).flip(1) * mask)


def test_with_lambda_0_the_advantage_is_one_error():
    """With lambda 0 only the next value counts."""
    rewards, values = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.5, 0.25]])

    assert advantages(rewards, values, 0.5, 0.0).tolist() == [[1 + 0.5 * 0.25 - 0.5, 2 - 0.25]]


POLICY_CASES = {
    "unmoved": (0.0, 2.0, -2.0),
    "good and within the range": (math.log(1.1), 2.0, -2.2),
    "good and beyond it": (math.log(1.5), 2.0, -2.4),
    "good and less likely": (math.log(0.5), 2.0, -1.0),
    "bad and beyond it": (math.log(0.5), -2.0, 1.6),
    "bad and more likely": (math.log(1.5), -2.0, 3.0),
}


@pytest.mark.parametrize(("moved", "advantage", "expected"), POLICY_CASES.values(), ids=POLICY_CASES)
def test_policy_loss(moved, advantage, expected):
    """Gains end where the ratio leaves the range; losses do not (arXiv 1707.06347, figure 1)."""
    numbers = torch.tensor([moved, 0.0, advantage], dtype=torch.float64)

    assert policy_losses(*numbers, 0.2).item() == pytest.approx(expected)


def test_policy_gradient_at_the_start():
    """Where nothing has moved, the gradient for a log-probability is minus the advantage."""
    new = torch.tensor([-1.0, -2.0], dtype=torch.float64, requires_grad=True)

    policy_losses(new, new.detach(), torch.tensor([3.0, -4.0]), 0.2).sum().backward()

    assert new.grad.tolist() == [-3.0, 4.0]


VALUE_CASES = {
    "unmoved": (1.0, 1.0, 3.0, 2.0),
    "moved within the range": (1.1, 1.0, 3.0, 0.5 * 1.9**2),
    "moved beyond it towards the return": (2.0, 1.0, 3.0, 0.5 * 1.8**2),
    "moved beyond it away from the return": (0.0, 1.0, 3.0, 0.5 * 3.0**2),
}


@pytest.mark.parametrize(("new", "old", "returned", "expected"), VALUE_CASES.values(), ids=VALUE_CASES)
def test_value_loss(new, old, returned, expected):
    """Half the squared error, of the value or of the value held near the old one, whichever is larger."""
    numbers = torch.tensor([new, old, returned], dtype=torch.float64)

    assert value_losses(*numbers, 0.2).item() == pytest.approx(expected)


def test_clipped_share_is_where_the_gradient_ends():
    """The clip counts exactly where the policy's loss gives no gradient."""
    new = torch.linspace(-1, 1, 41, dtype=torch.float64, requires_grad=True)
    advantage = torch.tensor([1.0, -1.0], dtype=torch.float64)[:, None]

    for sign in advantage:
        (gradient,) = torch.autograd.grad(policy_losses(new, torch.zeros_like(new), sign, 0.2).sum(), new)

        assert ((gradient == 0) == clipped_share(new, torch.zeros_like(new), sign, 0.2).bool()).all()


@pytest.mark.parametrize(("error", "expected"), [(0.0, 1.0), (1.0, 0.0)])
def test_explained_variance(error, expected):
    """Perfect values explain all; values that are no better than a constant explain nothing."""
    returned, mask = torch.tensor([[1.0, 2.0, 3.0]]), torch.ones(1, 3, dtype=torch.bool)

    assert explained_variance(returned * (1 - error), returned, mask) == pytest.approx(expected)


def test_nothing_varies_nothing_is_explained():
    """Where all returns are equal there is no such number."""
    assert explained_variance(torch.zeros(1, 3), torch.ones(1, 3), torch.ones(1, 3, dtype=torch.bool)) is None


STEERED = {"fixed": (9.0, None, 0.5), "far above": (100.0, 6.0, 0.51), "at": (6.0, 6.0, 0.5), "below": (0.0, 6.0, 0.49)}


@pytest.mark.parametrize(("kl", "target", "expected"), STEERED.values(), ids=STEERED)
def test_steering(kl, target, expected):
    """The coefficient moves by at most 2 % towards the target (arXiv 1909.08593, section 2.2)."""
    assert next_kl_coef(0.5, kl, target) == pytest.approx(expected)
