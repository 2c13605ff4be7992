"""Sample responses from a model, in batches, with left padding and a key-value cache.

Random numbers are an argument, one for each token, so that a response does not depend on the others in its batch: the
same numbers give the same responses after a resume, or where smaller batches are sampled for lack of memory.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import DynamicCache

Tokens = NDArray[np.int32]


@torch.no_grad()
def sample(
    model: Any, prompts: Sequence[Tokens], uniform_BR: Tensor, *, temperature: float, stops: frozenset[int]
) -> list[Tokens]:
    """One response for each prompt: up to R tokens, ended by the first stop token, which is kept.

    Args:
        model: A causal language model on its device.
        prompts: B prompts of at least one token each.
        uniform_BR: Numbers in [0, 1): the sampled token is the first whose cumulative probability exceeds its number.
        temperature: Divides the logits; every token may be sampled.
        stops: Tokens that end a response.
    """
    ids_BT, mask_BT = _left_padded(prompts, uniform_BR.device)
    # Padding on the left, so that all rows get their next token in the same column. Positions count real tokens only:
    # rotary embeddings of a padded row are then those of the row alone.
    positions_BT = (mask_BT.cumsum(1) - 1).clamp_min(0)
    cache = DynamicCache(config=model.config)
    responses: list[list[int]] = [[] for _ in prompts]
    rows = np.arange(len(prompts))  # rows of the batch, as indices of responses
    for place in range(uniform_BR.shape[1]):
        logits_BV = model(
            input_ids=ids_BT,
            attention_mask=mask_BT,
            position_ids=positions_BT,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        token_B = draw(logits_BV, uniform_BR[rows, place], temperature)
        for row, token in zip(rows, token_B.tolist(), strict=True):
            if not _is_ended(responses[row], stops):
                responses[row].append(token)
        unfinished = np.array([not _is_ended(responses[row], stops) for row in rows])
        if not unfinished.any():
            break
        ids_BT, positions_BT = token_B[:, None], positions_BT[:, -1:] + 1
        mask_BT = torch.cat([mask_BT, torch.ones_like(ids_BT)], 1)
        if unfinished.mean() <= _SHRINK_AT:
            keep = torch.from_numpy(unfinished.nonzero()[0]).to(ids_BT.device)
            cache.batch_select_indices(keep)
            ids_BT, positions_BT, mask_BT, rows = ids_BT[keep], positions_BT[keep], mask_BT[keep], rows[unfinished]
    return [np.array(response, dtype=np.int32) for response in responses]


_SHRINK_AT = 0.5  # share of unfinished rows at which finished ones leave the batch; that copies the whole cache


def draw(logits_BV: Tensor, uniform_B: Tensor, temperature: float) -> Tensor:
    """Sample tokens by inverting the cumulative distribution.

    Args:
        logits_BV: The model's.
        uniform_B: Numbers in [0, 1).
        temperature: Divides the logits.
    """
    # In float64: a cumulative sum in float32 stops growing at terms of 1e-8, so rare tokens would never be sampled. The
    # number is scaled by the last sum, which rounding keeps from being exactly 1.
    cumulative_BV = (logits_BV.double() / temperature).softmax(-1).cumsum(-1)
    threshold_B1 = (uniform_B.double() * cumulative_BV[:, -1])[:, None]
    token_B = torch.searchsorted(cumulative_BV, threshold_B1, right=True).squeeze(1)
    # right=True never gives a token of probability 0; the clamp is for a number that rounds up to the last sum.
    return token_B.clamp_max(logits_BV.shape[-1] - 1)


def _is_ended(response: list[int], stops: frozenset[int]) -> bool:
    return bool(response) and response[-1] in stops


def _left_padded(prompts: Sequence[Tokens], device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids and the mask of real ones, both B x T of int64."""
    longest = max(len(prompt) for prompt in prompts)
    ids = np.zeros((len(prompts), longest), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = prompt
        mask[row, longest - len(prompt) :] = 1
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)
