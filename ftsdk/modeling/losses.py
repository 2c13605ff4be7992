"""The mathematics of the losses: small pure functions over tensors.

Shapes: N labelled tokens, T tokens, H hidden, V vocabulary, C rows of one chunk, P pairs.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ftsdk.data.row_labels import IGNORED

CHUNK = 1024
"""Rows of logits that exist at one time; at 128k tokens of vocabulary, half a gigabyte in float32."""


def next_token_labels(labels_T: Tensor) -> Tensor:
    """Labels shifted one to the left: position t predicts token t + 1, and the last one nothing."""
    return torch.cat([labels_T[1:], labels_T.new_full((1,), IGNORED)])


def linear_cross_entropy(hidden_NH: Tensor, head_VH: Tensor, labels_N: Tensor, chunk: int = CHUNK) -> Tensor:
    """The sum of ``-log softmax(hidden @ head.T)[label]``, with one chunk of logits in memory at a time.

    The idea is that of cut cross-entropy (arXiv 2411.09009).

    Args:
        hidden_NH: Hidden states of the labelled positions.
        head_VH: The output head's weight; its gradient is made only where it trains.
        labels_N: The token that each position predicts.
        chunk: Rows at a time.

    Returns:
        A scalar, in float32 or wider.
    """
    # Autocast would cast inside, unseen by autograd. Cast here, the gradients that forward computes by hand have the
    # precision of its products, and autograd returns them in the precision of what came in.
    if torch.is_autocast_enabled(device := hidden_NH.device.type):
        hidden_NH = hidden_NH.to(torch.get_autocast_dtype(device))
    # needs_input_grad looks at the tensors, not at no_grad: in an evaluation the gradients would be computed in vain.
    if not torch.is_grad_enabled():
        hidden_NH, head_VH = hidden_NH.detach(), head_VH.detach()
    return _LinearCrossEntropy.apply(hidden_NH, head_VH, labels_N, chunk)


class _LinearCrossEntropy(torch.autograd.Function):
    # Gradients are computed in the forward pass, while a chunk's logits exist. A backward pass would have to compute
    # the logits again (a third matrix product) or keep them all (N x V floats: gigabytes). Saved are the finished
    # gradients, of the size of their inputs; backward only scales them, which is exact as the loss is one scalar.
    @staticmethod
    def forward(ctx: Any, hidden_NH: Tensor, head_VH: Tensor, labels_N: Tensor, chunk: int) -> Tensor:
        needs_hidden, needs_head = ctx.needs_input_grad[:2]
        grad_hidden_NH = torch.empty_like(hidden_NH) if needs_hidden else None
        # The head's gradient is a sum over chunks: in bfloat16 each addition would round the sum away.
        grad_head_VH = (
            torch.zeros_like(head_VH, dtype=torch.promote_types(head_VH.dtype, torch.float32)) if needs_head else None
        )
        sum_dtype = torch.promote_types(hidden_NH.dtype, torch.float32)
        total = hidden_NH.new_zeros((), dtype=sum_dtype)
        weight_VH = head_VH.to(hidden_NH.dtype)  # a copy only where the head trains in a wider precision
        for start in range(0, len(labels_N), chunk):
            rows = slice(start, start + chunk)
            logits_CV = (hidden_NH[rows] @ weight_VH.t()).to(sum_dtype)
            norm_C = logits_CV.logsumexp(-1)
            picked_C = logits_CV.gather(-1, labels_N[rows, None]).squeeze(-1)
            total += (norm_C - picked_C).sum()
            if not (needs_hidden or needs_head):
                continue
            slope_CV = logits_CV.sub_(norm_C[:, None]).exp_()  # softmax, in the logits' own memory
            slope_CV.scatter_add_(-1, labels_N[rows, None], slope_CV.new_full((len(norm_C), 1), -1.0))
            slope_CV = slope_CV.to(hidden_NH.dtype)
            if grad_hidden_NH is not None:
                torch.mm(slope_CV, weight_VH, out=grad_hidden_NH[rows])
            if grad_head_VH is not None:
                grad_head_VH += slope_CV.t() @ hidden_NH[rows]
        ctx.save_for_backward(grad_hidden_NH, None if grad_head_VH is None else grad_head_VH.to(head_VH.dtype))
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad_hidden_NH, grad_head_VH = ctx.saved_tensors
        scale = grads[0]
        return (
            None if grad_hidden_NH is None else grad_hidden_NH * scale.to(grad_hidden_NH.dtype),
            None if grad_head_VH is None else grad_head_VH * scale.to(grad_head_VH.dtype),
            None,
            None,
        )


def pair_losses(chosen_P: Tensor, rejected_P: Tensor, center: float = 0.0) -> Tensor:
    """``-log sigmoid(chosen - rejected) + center * (chosen + rejected)^2`` for each of P pairs.

    The first term is the Bradley-Terry model of preferences; the second keeps the scores, which it leaves free to
    drift together, around zero (arXiv 2312.09244).
    """
    return center * (chosen_P + rejected_P).square() - functional.logsigmoid(chosen_P - rejected_P)


def neftune_noise(embedded_TH: Tensor, lengths: list[int], alpha: float) -> Tensor:
    """Uniform noise of strength ``alpha / sqrt(L * H)`` for each row of length L (NEFTune, arXiv 2310.05914)."""
    hidden = embedded_TH.shape[-1]
    length_T = torch.repeat_interleave(
        torch.tensor(lengths, device=embedded_TH.device), torch.tensor(lengths, device=embedded_TH.device)
    )
    strength_T = alpha / (length_T.to(embedded_TH.dtype) * hidden).sqrt()
    return torch.empty_like(embedded_TH).uniform_(-1, 1) * strength_T[:, None]
