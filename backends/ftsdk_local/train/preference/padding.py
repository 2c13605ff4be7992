"""The units of one optimizer step in parts that fit the memory, each padded to its longest row: for TRL's trainers."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from ftsdk.data.encoding import IGNORED
from ftsdk.modeling.batches import Example, Pair, Unit
from ftsdk_local.train.preference.unpaired import Judged

U = TypeVar("U", bound=Unit)

Batch = dict[str, Tensor]
"""What a trainer of TRL computes a loss of, by its names; B rows of T tokens each."""


def parts_of(units: Sequence[U], capacity: int, most: int | None = None) -> list[list[U]]:
    """The units of one step in parts of like size, rows of like length together.

    Args:
        units: Of a step; each of as many rows as the others.
        capacity: Most tokens of a part, padding included; a longer unit has a part to itself.
        most: Most units of a part. None: any number.
    """
    padded = len(units[0].rows) * max(map(_longest, units))
    at_once = max(min(capacity // padded, most or len(units)), 1)
    parts = -(-len(units) // at_once)
    by_length = sorted(units, key=_longest, reverse=True)
    cuts = [len(units) * part // parts for part in range(parts + 1)]
    return [by_length[begin:end] for begin, end in pairwise(cuts)]


def _longest(unit: Unit) -> int:
    return max(len(row.input_ids) for row in unit.rows)


def padded(rows: Sequence[Example], pad: int) -> Batch:
    """Rows beside each other, padded on the right, each tensor B x T of int64."""
    ids = _side_by_side([row.input_ids for row in rows], pad)
    labels = _side_by_side([row.labels for row in rows], IGNORED)
    asked = labels >= 0
    asked[:, 0] = False  # the first token is asked for by nobody
    lengths = torch.tensor([len(row.input_ids) for row in rows])
    mask = torch.arange(ids.shape[1])[None] < lengths[:, None]
    return {"input_ids": ids, "attention_mask": mask.long(), "completion_mask": asked.long()}


def _side_by_side(rows: Sequence[np.ndarray], fill: int) -> Tensor:
    whole = np.full((len(rows), max(map(len, rows))), fill, dtype=np.int64)
    for place, row in enumerate(rows):
        whole[place, : len(row)] = row
    return torch.from_numpy(whole)


def dpo_batch(pairs: Sequence[Pair], pad: int) -> Batch:
    """For ``DPOTrainer``: all chosen rows, then all rejected ones."""
    return padded([pair.chosen for pair in pairs] + [pair.rejected for pair in pairs], pad)


def kto_batch(judged: Sequence[Judged], pad: int) -> Batch:
    """For ``KTOTrainer``, without the rows that its KL is estimated on."""
    labels = torch.tensor([unit.good for unit in judged])
    return {**padded([unit.example for unit in judged], pad), "label": labels}


def orpo_batch(pairs: Sequence[Pair], pad: int) -> Batch:
    """For ``ORPOTrainer``."""
    sides = {
        "chosen": padded([pair.chosen for pair in pairs], pad),
        "rejected": padded([pair.rejected for pair in pairs], pad),
    }
    return {
        f"{side}_{name}": tensor
        for side, batch in sides.items()
        for name, tensor in (
            ("input_ids", batch["input_ids"]),
            ("attention_mask", batch["attention_mask"]),
            ("labels", batch["input_ids"].masked_fill(batch["completion_mask"] == 0, IGNORED)),
        )
    }


def mismatched(judged: Sequence[Judged], max_length: int) -> list[Judged]:
    """Each prompt with the answer to the prompt before it: what KTO estimates its KL on."""
    answers = [judged[place - 1].example for place in range(len(judged))]
    return [
        unit._replace(example=_with_answer_of(unit.example, other, max_length))
        for unit, other in zip(judged, answers, strict=True)
    ]


def _with_answer_of(example: Example, other: Example, max_length: int) -> Example:
    prompt, answer = (int(np.argmax(row.labels >= 0)) for row in (example, other))
    ids = np.concatenate([example.input_ids[:prompt], other.input_ids[answer:]])
    labels = np.concatenate([example.labels[:prompt], other.labels[answer:]])
    return Example(ids[:max_length], labels[:max_length])
