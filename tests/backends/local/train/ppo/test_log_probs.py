"""Log-probabilities without whole logits are those of whole logits, with the same gradient."""

import pytest
import torch

from ftsdk_local.train.ppo.log_probs import linear_log_probs, log_probs_of

pytestmark = pytest.mark.numeric

TOKENS, HIDDEN, VOCABULARY = 11, 6, 17


@pytest.fixture
def inputs():
    random = torch.Generator().manual_seed(0)
    hidden = torch.randn(TOKENS, HIDDEN, generator=random, dtype=torch.float64, requires_grad=True)
    head = torch.randn(VOCABULARY, HIDDEN, generator=random, dtype=torch.float64)
    return hidden, head, torch.randint(0, VOCABULARY, (TOKENS,), generator=random)


@pytest.mark.parametrize("chunk", [1, 4, 100])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_equal_to_log_softmax(inputs, chunk, temperature):
    """Value, entropy and gradient agree with log_softmax, for any chunk and temperature, each token weighted apart."""
    hidden, head, tokens = inputs
    weights = torch.arange(1.0, TOKENS + 1, dtype=torch.float64)
    all_log_probs = (hidden @ head.T / temperature).log_softmax(-1)
    expected = all_log_probs.gather(1, tokens[:, None]).squeeze(1)
    (slope,) = torch.autograd.grad((weights * expected).sum(), hidden)

    actual = linear_log_probs(hidden, head, tokens, temperature, chunk)
    (gradient,) = torch.autograd.grad((weights * actual.log_probs_N).sum(), hidden)

    assert torch.allclose(actual.log_probs_N, expected, atol=1e-12)
    assert torch.allclose(actual.entropy_N, -(all_log_probs.exp() * all_log_probs).sum(1), atol=1e-12)
    assert torch.allclose(gradient, slope, atol=1e-12)


def test_without_gradient_nothing_is_kept(inputs):
    """Computed without gradient, there is no graph for a backward pass."""
    with torch.no_grad():
        assert not linear_log_probs(*inputs).log_probs_N.requires_grad


def test_logits_of_the_model_give_the_same_numbers(inputs):
    """A model whose head is more than a matrix computes its logits itself; the numbers are the same."""
    hidden, head, tokens = inputs

    chunked, direct = linear_log_probs(hidden, head, tokens, 0.7), log_probs_of(hidden @ head.T, tokens, 0.7)

    assert all(torch.allclose(*pair, atol=1e-12) for pair in zip(chunked, direct, strict=True))
