"""Pairs of answers, of which one was preferred, as tokens."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ftsdk.data import MOST_PROBLEMS, Row
from ftsdk.errors import DataError, Problem
from ftsdk.modeling.batches import Example, Pair
from ftsdk.modeling.encode import Encoded, encode


def encode_pairs(rows: Iterable[Row], tokenizer: Any, *, max_length: int) -> Encoded[Pair]:
    """Tokenize the prompt of each row twice: with the chosen answer, and with the rejected one.

    A row ends with the token that ends its answer, as a response that a model has sampled does: the score is read
    there. Blanks that a chat template writes behind it are left out.

    Args:
        rows: Canonical rows of the format ``preference``.
        tokenizer: A fast tokenizer; with a chat template where rows are conversations.
        max_length: Longer rows are cut at the end.

    Raises:
        DataError: Rows whose answers are the same once they are cut, or that :func:`encode` refuses.
    """
    kept = list(rows)
    chosen, rejected = (
        encode(_with_answer(kept, name), tokenizer, train_on="completion", max_length=max_length)
        for name in ("chosen", "rejected")
    )
    pairs = [Pair(_to_its_end(one), _to_its_end(other)) for one, other in zip(chosen[0], rejected[0], strict=True)]
    problems = [
        Problem(
            f"{row.file}:{row.line}",
            f"chosen and rejected are the same within training.max_length={max_length} tokens",
            "raise training.max_length, or remove the row",
        )
        for row, pair in zip(kept, pairs, strict=True)
        if row.value["chosen"] != row.value["rejected"] and np.array_equal(pair[0].input_ids, pair[1].input_ids)
    ]
    if problems:
        raise DataError("rows cannot be compared", problems=problems[:MOST_PROBLEMS])
    return Encoded(
        pairs,
        truncated=chosen.truncated + rejected.truncated,
        dropped_tokens=chosen.dropped_tokens + rejected.dropped_tokens,
        longest=max(chosen.longest, rejected.longest),
    )


def _with_answer(rows: Sequence[Row], name: str) -> Iterable[Row]:
    """Each prompt with one of its answers, as a row of the format ``prompt_completion``."""
    return (row._replace(value={**row.value, "completion": row.value[name]}) for row in rows)


def _to_its_end(example: Example) -> Example:
    end = int(np.flatnonzero(example.labels >= 0)[-1]) + 1
    return Example(example.input_ids[:end], example.labels[:end])
