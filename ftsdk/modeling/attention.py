"""Attention for rows laid end to end without padding: each row sees itself and nothing of its neighbours."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AttentionInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

ROW_BY_ROW = "ftsdk_rows"
"""The name under which Transformers' models find this attention."""


def row_by_row_attention(
    module: Any,  # noqa: ARG001 - Transformers passes it
    query_1GTD: Tensor,
    key_1KTD: Tensor,
    value_1KTD: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int = 0,
    **_: Any,
) -> tuple[Tensor, None]:
    """Causal attention within each row, without a mask tensor.

    Args:
        module: The attention layer, as Transformers hands it over.
        query_1GTD: Queries of T tokens: batch 1, G heads, D wide. Keys and values may have fewer heads, K.
        key_1KTD: Keys.
        value_1KTD: Values.
        attention_mask: Always None: the rows' borders take its place.
        scaling: Factor on the scores. None: one over the root of D.
        dropout: Share of scores dropped.
        sliding_window: How many tokens back a token sees. None: all.
        cu_seq_lens_q: Where rows begin, and the end: int32, one more than rows.
        max_length_q: The longest row.

    Returns:
        The output, 1 x T x G x D, and None for the weights, which never exist.
    """
    # Without the rows' borders this would be attention over the whole bin, and with a padding mask the mask would be
    # ignored: both train on wrong numbers silently. Sampling switches to another attention (ppo/actor.py).
    if cu_seq_lens_q is None or attention_mask is not None:
        raise ValueError(
            f"the attention {ROW_BY_ROW!r} is for training on rows laid end to end, not for padded batches"
        )
    if _has_kernel(query_1GTD) and not dropout:
        qkv = (query_1GTD, key_1KTD, value_1KTD)
        return _varlen(qkv, cu_seq_lens_q, max_length_q, scaling=scaling, window=sliding_window), None
    # The CPU has no kernel for rows of different lengths. One call per row costs less than a T x T block mask, and
    # is_causal lets PyTorch take its fused kernel, which a mask tensor would rule out.
    sizes = cu_seq_lens_q.diff().tolist()
    parts = zip(query_1GTD.split(sizes, 2), key_1KTD.split(sizes, 2), value_1KTD.split(sizes, 2), strict=True)
    outputs = [
        functional.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=(mask := _window_mask(query, sliding_window)),
            is_causal=mask is None,
            dropout_p=dropout,
            scale=scaling,
            enable_gqa=query.shape[1] != key.shape[1],
        )
        for query, key, value in parts
    ]
    return torch.cat(outputs, 2).transpose(1, 2), None


def _has_kernel(query: Tensor) -> bool:
    return query.is_cuda and query.dtype in (torch.bfloat16, torch.float16)


def _varlen(
    qkv: tuple[Tensor, Tensor, Tensor], starts: Tensor, longest: int, *, scaling: float | None, window: int | None
) -> Any:
    from torch.nn.attention.varlen import varlen_attn  # noqa: PLC0415 - CUDA only

    # Transformers counts the token itself in a sliding window, the kernel only those before it; -1: no limit.
    lookback = -1 if window is None else window - 1
    query, key, value = (part[0].transpose(0, 1) for part in qkv)
    output: Any = varlen_attn(
        query,
        key,
        value,
        starts,
        starts,
        longest,
        longest,
        scale=scaling,
        window_size=(lookback, 0),  # 0 tokens ahead: causal
        enable_gqa=qkv[0].shape[1] != qkv[1].shape[1],
    )
    return output[None]


def _window_mask(query: Tensor, window: int | None) -> Tensor | None:
    length = query.shape[2]
    if window is None or length <= window:
        return None  # the window reaches over the whole row, so is_causal is the same without a mask
    ones = torch.ones(length, length, dtype=torch.bool, device=query.device)
    return ones.tril() & ones.triu(1 - window)


def register() -> None:
    """Make the attention known to Transformers by its name; safe to repeat."""
    # Transformers looks up the mask's function by the name of the attention, too. Without one of ours it would build a
    # causal mask over the whole bin; with None the layers pass no mask.
    AttentionInterface.register(ROW_BY_ROW, row_by_row_attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register(ROW_BY_ROW, lambda *_args, **_kwargs: None)
