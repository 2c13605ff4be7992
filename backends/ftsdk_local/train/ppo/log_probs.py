"""Log-probabilities of tokens, with one chunk of logits in memory at a time.

Shapes: N tokens, H hidden, V vocabulary, C rows of one chunk.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ftsdk.modeling.losses import CHUNK


class TokenLogProbs(NamedTuple):
    """Of N tokens, in float32 or wider."""

    log_probs_N: Tensor
    """Of the token itself; with gradient."""
    entropy_N: Tensor
    """Of the distribution that the token was sampled from, in nats; without gradient."""


def linear_log_probs(
    hidden_NH: Tensor, head_VH: Tensor, tokens_N: Tensor, temperature: float = 1.0, chunk: int = CHUNK
) -> TokenLogProbs:
    """``log softmax(hidden @ head.T / temperature)[token]``, for a head that does not train.

    Args:
        hidden_NH: Hidden states at the positions before the tokens.
        head_VH: The output head's frozen weight.
        tokens_N: The tokens.
        temperature: Divides the logits.
        chunk: Rows at a time.
    """
    # As in linear_cross_entropy: the cast that autocast would make inside, where autograd sees it.
    if torch.is_autocast_enabled(device := hidden_NH.device.type):
        hidden_NH = hidden_NH.to(torch.get_autocast_dtype(device))
    if not torch.is_grad_enabled():
        hidden_NH = hidden_NH.detach()
    return TokenLogProbs(*_LinearLogProbs.apply(hidden_NH, head_VH.detach(), tokens_N, temperature, chunk))


def log_probs_of(logits_NV: Tensor, tokens_N: Tensor, temperature: float = 1.0) -> TokenLogProbs:
    """The same from whole logits, for models whose head is more than one matrix."""
    wide_NV = logits_NV.to(torch.promote_types(logits_NV.dtype, torch.float32)) / temperature
    log_probs_NV = wide_NV.log_softmax(-1)
    entropy_N = -(log_probs_NV.exp() * log_probs_NV).sum(-1).detach()
    return TokenLogProbs(log_probs_NV.gather(-1, tokens_N[:, None]).squeeze(-1), entropy_N)


class _LinearLogProbs(torch.autograd.Function):
    # As in losses.linear_cross_entropy, the gradient is computed in the forward pass, while a chunk's logits exist, and
    # saved. Here the output is N numbers: row n of the saved matrix is d log_prob_n / d hidden_n, which depends on no
    # other row, so backward multiplies each row by its incoming gradient.
    @staticmethod
    def forward(  # noqa: PLR0917 - autograd functions take no keywords
        ctx: Any, hidden_NH: Tensor, head_VH: Tensor, tokens_N: Tensor, temperature: float, chunk: int
    ) -> tuple[Tensor, Tensor]:
        grad_hidden_NH = torch.empty_like(hidden_NH) if ctx.needs_input_grad[0] else None
        sum_dtype = torch.promote_types(hidden_NH.dtype, torch.float32)
        log_probs_N = hidden_NH.new_empty(len(tokens_N), dtype=sum_dtype)
        entropy_N = torch.empty_like(log_probs_N)
        weight_VH = head_VH.to(hidden_NH.dtype)
        for start in range(0, len(tokens_N), chunk):
            rows = slice(start, start + chunk)
            log_probs_CV = (hidden_NH[rows] @ weight_VH.t()).to(sum_dtype).div_(temperature)
            log_probs_CV.sub_(log_probs_CV.logsumexp(-1, keepdim=True))
            log_probs_N[rows] = log_probs_CV.gather(-1, tokens_N[rows, None]).squeeze(-1)
            probs_CV = log_probs_CV.exp()
            entropy_N[rows] = -torch.einsum("cv,cv->c", probs_CV, log_probs_CV)
            if grad_hidden_NH is not None:
                slope_CV = probs_CV.neg_().scatter_add_(-1, tokens_N[rows, None], probs_CV.new_ones(len(probs_CV), 1))
                torch.mm(slope_CV.div_(temperature).to(hidden_NH.dtype), weight_VH, out=grad_hidden_NH[rows])
        ctx.save_for_backward(grad_hidden_NH)
        # The entropy is a metric. Its gradient would need another matrix per token, and without this mark a loss that
        # used it would silently get none.
        ctx.mark_non_differentiable(entropy_N)
        return log_probs_N, entropy_N

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad_hidden_NH,) = ctx.saved_tensors
        scaled_NH = None if grad_hidden_NH is None else grad_hidden_NH * grads[0][:, None].to(grad_hidden_NH.dtype)
        return scaled_NH, None, None, None, None
