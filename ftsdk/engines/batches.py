"""Batches of answers for TRL's preference trainers, made of rows that are tokens and labels already.

TRL's own would render and tokenize again, and lose the labels. It stands beside engines in their own Python.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from ftsdk.data.encoding import IGNORED

Row = Mapping[str, Any]
Batch = dict[str, torch.Tensor]


def paired_batch(rows: Sequence[Row], *, pad: int) -> Batch:
    """For ``DPOTrainer``: all chosen answers, then all rejected ones."""
    sides = [f"{side}_" for side in ("chosen", "rejected") for _ in rows]
    return _padded(zip(sides, [*rows, *rows], strict=True), pad)


def unpaired_batch(rows: Sequence[Row], *, pad: int) -> Batch:
    """For ``KTOTrainer``; its KL is estimated on each prompt with another row's answer."""
    batch, estimate = (_padded(((begin, row) for row in rows), pad) for begin in ("", "other_"))
    verdicts = torch.tensor([row["label"] for row in rows])
    return {**batch, **{f"KL_{name}": values for name, values in estimate.items()}, "label": verdicts}


def _padded(texts: Iterable[tuple[str, Row]], pad: int) -> Batch:
    """Texts of rows, by how their columns begin, padded on the right, with a mask of what carries loss."""
    ids, labels = zip(*((row[f"{begin}input_ids"], row[f"{begin}labels"]) for begin, row in texts), strict=True)
    return {
        "input_ids": _stacked(ids, pad),
        "attention_mask": _stacked([[1] * len(each) for each in ids], 0),
        "completion_mask": _stacked([[int(label != IGNORED) for label in each] for each in labels], 0),
    }


def _stacked(rows: Iterable[Sequence[int]], fill: int) -> torch.Tensor:
    return pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=fill)
