"""Rollouts: responses as rows for forward passes, and per-token numbers of them."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ftsdk.data.row_labels import IGNORED
from ftsdk.modeling.batches import Example
from ftsdk_local.train.rl.rewards import Response


class Rollouts(NamedTuple):
    """B responses, R tokens the longest."""

    responses: Sequence[Response]
    rows: list[Example]
    """Prompt and response; labels on the response."""
    mask_BR: Tensor
    """True at the tokens of a response."""

    @property
    def last_B(self) -> Tensor:  # noqa: N802 - the suffix gives the shape
        """The place of each response's last token."""
        return self.mask_BR.sum(1) - 1

    def scatter(self, flat_N: Tensor, rows: Sequence[int], into_BR: Tensor) -> None:
        """Write numbers for the tokens of some rows, one row after the other, into a padded tensor."""
        mask = self.mask_BR[list(rows)]
        part = torch.zeros_like(into_BR[list(rows)])
        part[mask] = flat_N.to(part.dtype)
        into_BR[list(rows)] = part

    def gather(self, numbers_BR: Tensor, rows: Sequence[int]) -> Tensor:
        """The numbers for the tokens of some rows, one row after the other: the inverse of :meth:`scatter`."""
        return numbers_BR[list(rows)][self.mask_BR[list(rows)]]


def make_rollouts(responses: Sequence[Response], device: torch.device) -> Rollouts:
    """Rows and mask of some responses, each of at least one token."""
    lengths = [len(response.tokens) for response in responses]
    mask_BR = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
    return Rollouts(responses, [_row(response) for response in responses], mask_BR.to(device))


def _row(response: Response) -> Example:
    unlabelled = np.full_like(response.prompt.input_ids, IGNORED)
    return Example(response.input_ids, np.concatenate([unlabelled, response.tokens]))


def has_stopped(responses: Iterable[Response], stops: frozenset[int]) -> list[bool]:
    """Whether each response ends with a stop token, and not with the limit of its length."""
    return [bool(response.tokens[-1] in stops) for response in responses]
