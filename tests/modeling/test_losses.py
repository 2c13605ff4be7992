"""The mathematics of the losses, against PyTorch's own in float64 where it has them."""

import pytest
import torch
from torch.nn import functional

from ftsdk.data.row_labels import IGNORED
from ftsdk.modeling.losses import linear_cross_entropy, neftune_noise, next_token_labels, pair_losses

pytestmark = pytest.mark.numeric


def make_inputs(*, head_trains):
    torch.manual_seed(0)
    hidden = torch.randn(37, 16, dtype=torch.float64, requires_grad=True)
    head = torch.randn(50, 16, dtype=torch.float64, requires_grad=head_trains)
    return hidden, head, torch.randint(0, 50, (37,))


@pytest.mark.parametrize("chunk", [1, 7, 37, 1000])
def test_sum_equals_torch(chunk):
    """The chunked sum is torch's cross-entropy, whatever the chunk."""
    hidden, head, labels = make_inputs(head_trains=False)

    expected = functional.cross_entropy(hidden @ head.t(), labels, reduction="sum")

    torch.testing.assert_close(linear_cross_entropy(hidden, head, labels, chunk).double(), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("head_trains", [False, True])
def test_gradients_equal_torch(head_trains):
    """Both gradients are those of torch's cross-entropy, scaled by what comes from above."""
    hidden, head, labels = make_inputs(head_trains=head_trains)
    inputs = [hidden, head] if head_trains else [hidden]

    expected = torch.autograd.grad(functional.cross_entropy(hidden @ head.t(), labels, reduction="sum") * 3, inputs)
    actual = torch.autograd.grad(linear_cross_entropy(hidden, head, labels, 10) * 3, inputs)

    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-6)


def test_frozen_head_gets_no_gradient():
    """A frozen head costs no gradient of its size."""
    hidden, head, labels = make_inputs(head_trains=False)

    linear_cross_entropy(hidden, head, labels).backward()

    assert head.grad is None


def test_without_gradient_nothing_is_kept():
    """In evaluation the sum is the same and carries no graph, even where the head trains."""
    hidden, head, labels = make_inputs(head_trains=True)

    with torch.no_grad():
        total = linear_cross_entropy(hidden, head, labels)

    assert not total.requires_grad


def test_head_in_a_wider_precision():
    """Hidden states in bfloat16 under a head that trains in float32: each gets its gradient in its own precision."""
    hidden, head, labels = make_inputs(head_trains=True)
    hidden, head = hidden.detach().bfloat16().requires_grad_(), head.detach().float().requires_grad_()

    linear_cross_entropy(hidden, head, labels).backward()

    assert (hidden.grad.dtype, head.grad.dtype) == (torch.bfloat16, torch.float32)


def test_autocast_decides_the_precision():
    """Under autocast the matrix products run in its precision; gradients come back in the parameters' own."""
    hidden, head, labels = make_inputs(head_trains=True)
    hidden, head = hidden.detach().float().requires_grad_(), head.detach().float().requires_grad_()
    expected = functional.cross_entropy(hidden @ head.t(), labels, reduction="sum").item()

    with torch.autocast("cpu", torch.bfloat16):
        actual = linear_cross_entropy(hidden, head, labels)
    actual.backward()

    assert hidden.grad.dtype == torch.float32
    assert actual.item() == pytest.approx(expected, rel=0.02)


def test_no_labels_give_zero():
    """No labelled token: the sum is nought, and so is the gradient."""
    hidden, head, labels = make_inputs(head_trains=False)

    linear_cross_entropy(hidden[:0], head, labels[:0]).backward()

    assert hidden.grad.abs().sum() == 0


def test_labels_move_to_the_left():
    """Each position predicts the next token, and the last one nothing."""
    assert next_token_labels(torch.tensor([5, IGNORED, 7])).tolist() == [IGNORED, 7, IGNORED]


def test_noise_is_scaled_by_each_rows_own_length():
    """Rows in one bin get the noise that they would get alone: alpha / sqrt(length * hidden)."""
    torch.manual_seed(0)

    noise = neftune_noise(torch.zeros(104, 4), [4, 100], alpha=5.0)

    assert noise[:4].abs().max() <= 5 / (4 * 4) ** 0.5
    assert noise[4:].abs().max() <= 5 / (100 * 4) ** 0.5
    assert noise[:4].abs().max() > 5 / (100 * 4) ** 0.5


def test_pairs_in_closed_form():
    """No margin costs log 2; a margin m costs log(1 + exp(-m)), both ways."""
    chosen, rejected = torch.tensor([[1.0, 3.0, -1.0], [1.0, 1.0, 1.0]], dtype=torch.float64)

    actual = pair_losses(chosen, rejected)

    margins = torch.tensor([0.0, 2.0, -2.0], dtype=torch.float64)
    torch.testing.assert_close(actual, torch.log1p(torch.exp(-margins)), rtol=1e-12, atol=0)


def test_centering_costs_the_square_of_the_sum():
    """Scores around zero cost nothing more; others the coefficient times the square of their sum."""
    chosen, rejected = torch.tensor([[1.0, 3.0], [-1.0, 1.0]], dtype=torch.float64)

    extra = pair_losses(chosen, rejected, 0.01) - pair_losses(chosen, rejected)

    torch.testing.assert_close(extra, torch.tensor([0.0, 0.16], dtype=torch.float64), rtol=1e-12, atol=1e-15)


def test_gradient_of_a_pair():
    """The better score is pushed up by sigmoid(-margin), the worse one down by as much."""
    chosen, rejected = (torch.tensor([value], dtype=torch.float64, requires_grad=True) for value in (1.0, 0.25))

    up, down = torch.autograd.grad(pair_losses(chosen, rejected).sum(), [chosen, rejected])

    assert up.item() == pytest.approx(-torch.sigmoid(torch.tensor(-0.75, dtype=torch.float64)).item(), rel=1e-12)
    assert up.item() == -down.item()


def test_large_margins_stay_finite():
    """A pair that is far off costs its margin, not infinity."""
    actual = pair_losses(torch.tensor([-1e4]), torch.tensor([1e4]))

    assert 2e4 == actual.item()
