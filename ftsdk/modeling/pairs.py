"""Pairs of answers, of which one was preferred, as tokens."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ftsdk.data import MOST_PROBLEMS, Row
from ftsdk.errors import DataError, Problem
from ftsdk.modeling.batches import Example, Pair
from ftsdk.modeling.encoded_rows import EncodedRows, encode


def encode_pairs(rows: Iterable[Row], tokenizer: Any, *, max_length: int) -> EncodedRows[Pair]:
    """Tokenize the prompt of each row twice: with the chosen answer, and with the rejected one.

    A row ends with the token that ends its answer, as a sampled response does: the score is read there. White space
    that a chat template writes behind it is left out.

    Args:
        rows: Canonical rows of the format ``preference``.
        tokenizer: A fast tokenizer; with a chat template where rows are conversations.
        max_length: Longer rows are truncated at the end.

    Raises:
        DataError: Rows whose answers are the same once they are truncated, or that :func:`encode` refuses.
    """
    preferences = list(rows)
    chosen, rejected = (
        encode(_with_answer(preferences, name), tokenizer, train_on="completion", max_length=max_length)
        for name in ("chosen", "rejected")
    )
    pairs = [
        Pair(_trim(better), _trim(worse)) for better, worse in zip(chosen.examples, rejected.examples, strict=True)
    ]
    problems = [
        Problem(
            f"{row.file}:{row.line}",
            f"chosen and rejected are the same within training.max_length={max_length} tokens",
            "raise training.max_length, or remove the row",
        )
        for row, pair in zip(preferences, pairs, strict=True)
        # Answers that were written the same were warned of when the rows were checked; here truncation made them so.
        if row.value["chosen"] != row.value["rejected"] and np.array_equal(pair[0].input_ids, pair[1].input_ids)
    ]
    if problems:
        raise DataError("rows cannot be compared", problems=problems[:MOST_PROBLEMS])
    return EncodedRows(
        pairs,
        truncated=chosen.truncated + rejected.truncated,
        dropped_tokens=chosen.dropped_tokens + rejected.dropped_tokens,
        longest=max(chosen.longest, rejected.longest),
    )


def _with_answer(rows: Sequence[Row], name: str) -> Iterable[Row]:
    """Each prompt with one of its answers, as a row of the format ``prompt_completion``."""
    return (row._replace(value={**row.value, "completion": row.value[name]}) for row in rows)


def _trim(example: Example) -> Example:
    """The row up to its last labelled token."""
    end = int(np.flatnonzero(example.labels >= 0)[-1]) + 1
    return Example(example.input_ids[:end], example.labels[:end])
