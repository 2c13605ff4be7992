"""Turn canonical rows into tokens and labels; count truncated rows, and refuse rows without a labelled token."""

from collections.abc import Iterable
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from ftsdk.data import MOST_PROBLEMS, Row
from ftsdk.data.row_labels import Refused, encode_row
from ftsdk.errors import DataError, Problem
from ftsdk.modeling.batches import Example, Unit
from ftsdk.modeling.settings import TrainOn

U = TypeVar("U", bound=Unit)


class EncodedRows(NamedTuple, Generic[U]):
    """All rows as tokens, with the counts of what was truncated."""

    examples: list[U]
    truncated: int
    """Rows that were longer than ``max_length``."""
    dropped_tokens: int
    """Tokens cut off those rows."""
    longest: int
    """Tokens of the longest row, before truncation."""


def encode(rows: Iterable[Row], tokenizer: Any, *, train_on: TrainOn, max_length: int) -> EncodedRows[Example]:
    """Tokenize rows and label the tokens that carry loss.

    Args:
        rows: Canonical rows from ``ftsdk.data.rows``.
        tokenizer: A fast tokenizer; with a chat template where rows are conversations.
        train_on: ``assistant``: every assistant turn. ``completion``: the last one. ``all``: each token.
        max_length: Longer rows are truncated at the end.

    Raises:
        DataError: Rows leave nothing to train on, or the template refuses them: each with file and line.
    """
    examples, problems = [], []
    truncated = dropped_tokens = longest = 0
    for row in rows:
        try:
            full = _encode_row(row, tokenizer, train_on)
        except Refused as refusal:
            problems.append(Problem(f"{row.file}:{row.line}", str(refusal), refusal.fix))
        else:
            length = len(full.input_ids)
            example = Example(full.input_ids[:max_length], full.labels[:max_length])
            longest = max(longest, length)
            if length > max_length:
                truncated += 1
                dropped_tokens += length - max_length
            if example.labelled:
                examples.append(example)
            else:
                problems.append(_no_labels(row, full, max_length))
        if len(problems) >= MOST_PROBLEMS:
            break
    if problems:
        raise DataError("rows cannot be trained on", problems=problems, hint="fix or remove these rows")
    return EncodedRows(examples, truncated, dropped_tokens, longest)


def _no_labels(row: Row, full: Example, max_length: int) -> Problem:
    """Why a row has no labelled token: it never had one, or truncation removed them all."""
    place = f"{row.file}:{row.line}"
    if not full.labelled:
        return Problem(place, "no token of this row carries loss", "add an assistant turn with content")
    first = int(np.argmax(full.labels[1:] >= 0)) + 1
    problem = (
        f"the answer begins at token {first}, behind training.max_length={max_length}, so nothing is left to learn"
    )
    return Problem(place, problem, "raise training.max_length, or shorten the prompt")


def _encode_row(row: Row, tokenizer: Any, train_on: TrainOn) -> Example:
    ids, labels = encode_row(row.value, tokenizer, train_on)
    # int32: a vocabulary fits, and a large dataset takes half the memory; batches widen to int64 when they are made.
    return Example(np.array(ids, dtype=np.int32), np.array(labels, dtype=np.int32))
