"""Sample responses from a model, in batches, with left padding and a key-value cache.

Chance comes from outside, one number for each token, so that a response does not depend on who shares its batch: the
same numbers give the same responses after a resume, or when memory makes the batches smaller.
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
    model: Any, prompts: Sequence[Tokens], chance_BR: Tensor, *, temperature: float, stops: frozenset[int]
) -> list[Tokens]:
    """One response for each prompt: up to R tokens, ended by the first stop token, which is kept.

    Args:
        model: A causal language model on its device.
        prompts: B prompts of at least one token each.
        chance_BR: Numbers in [0, 1): the token drawn is the first whose cumulative probability exceeds its number.
        temperature: Divides the logits; every token may be drawn.
        stops: Tokens that end a response.
    """
    ids_BT, mask_BT = _left_padded(prompts, chance_BR.device)
    positions_BT = (mask_BT.cumsum(1) - 1).clamp_min(0)
    cache = DynamicCache(config=model.config)
    responses: list[list[int]] = [[] for _ in prompts]
    rows = np.arange(len(prompts))  # the responses that are still in the batch
    for place in range(chance_BR.shape[1]):
        logits_BV = model(
            input_ids=ids_BT,
            attention_mask=mask_BT,
            position_ids=positions_BT,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        drawn_B = draw(logits_BV, chance_BR[rows, place], temperature)
        for row, token in zip(rows, drawn_B.tolist(), strict=True):
            if not _ended(responses[row], stops):
                responses[row].append(token)
        going = np.array([not _ended(responses[row], stops) for row in rows])
        if not going.any():
            break
        ids_BT, positions_BT = drawn_B[:, None], positions_BT[:, -1:] + 1
        mask_BT = torch.cat([mask_BT, torch.ones_like(ids_BT)], 1)
        if going.mean() <= _WORTH_DROPPING:
            keep = torch.from_numpy(going.nonzero()[0]).to(ids_BT.device)
            cache.batch_select_indices(keep)
            ids_BT, positions_BT, mask_BT, rows = ids_BT[keep], positions_BT[keep], mask_BT[keep], rows[going]
    return [np.array(response, dtype=np.int32) for response in responses]


_WORTH_DROPPING = 0.5  # share of rows still going at which those that have ended leave the batch: leaving costs a copy


def draw(logits_BV: Tensor, chance_B: Tensor, temperature: float) -> Tensor:
    """Tokens by their probabilities: cumulative sums in float64, so that rare tokens keep theirs.

    Args:
        logits_BV: The model's.
        chance_B: Numbers in [0, 1).
        temperature: Divides the logits.
    """
    cumulative_BV = (logits_BV.double() / temperature).softmax(-1).cumsum(-1)
    sought_B1 = (chance_B.double() * cumulative_BV[:, -1])[:, None]
    drawn_B = torch.searchsorted(cumulative_BV, sought_B1, right=True).squeeze(1)
    return drawn_B.clamp_max(logits_BV.shape[-1] - 1)


def _ended(response: list[int], stops: frozenset[int]) -> bool:
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
