"""Turn canonical rows into tokens and labels; count what is cut, and refuse rows that would teach nothing."""

from collections.abc import Iterable
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from ftsdk.data import MOST_PROBLEMS, Row
from ftsdk.data.encoding import Refused, encode_row
from ftsdk.errors import DataError, Problem
from ftsdk.modeling.batches import Example, Unit
from ftsdk.modeling.settings import TrainOn

U = TypeVar("U", bound=Unit)


class Encoded(NamedTuple, Generic[U]):
    """All rows as tokens, and what happened on the way."""

    examples: list[U]
    truncated: int
    """Rows that were longer than ``max_length``."""
    dropped_tokens: int
    """Tokens cut off those rows."""
    longest: int
    """Tokens of the longest row, before cutting."""


def encode(rows: Iterable[Row], tokenizer: Any, *, train_on: TrainOn, max_length: int) -> Encoded[Example]:
    """Tokenize rows and label the tokens that carry loss.

    Args:
        rows: Canonical rows from ``ftsdk.data.rows``.
        tokenizer: A fast tokenizer; with a chat template where rows are conversations.
        train_on: ``assistant``: every assistant turn. ``completion``: the last one. ``all``: each token.
        max_length: Longer rows are cut at the end.

    Raises:
        DataError: Rows leave nothing to train on, or the template refuses them: each with file and line.
    """
    examples, problems, cut, longest = [], [], [0, 0], 0
    for row in rows:
        try:
            whole = _encode_row(row, tokenizer, train_on)
        except Refused as refusal:
            problems.append(Problem(f"{row.file}:{row.line}", str(refusal), refusal.fix))
        else:
            length = len(whole.input_ids)
            example = Example(whole.input_ids[:max_length], whole.labels[:max_length])
            longest = max(longest, length)
            if length > max_length:
                cut = [cut[0] + 1, cut[1] + length - max_length]
            if example.labelled:
                examples.append(example)
            else:
                problems.append(_nothing_left(row, whole, max_length))
        if len(problems) >= MOST_PROBLEMS:
            break
    if problems:
        raise DataError("rows cannot be trained on", problems=problems, hint="mend or remove these rows")
    return Encoded(examples, cut[0], cut[1], longest)


def _nothing_left(row: Row, whole: Example, max_length: int) -> Problem:
    place = f"{row.file}:{row.line}"
    if not whole.labelled:
        return Problem(place, "no token of this row carries loss", "give the assistant something to say")
    first = int(np.argmax(whole.labels[1:] >= 0)) + 1
    what = f"the answer begins at token {first}, behind training.max_length={max_length}, so nothing is left to learn"
    return Problem(place, what, "raise training.max_length, or shorten the prompt")


def _encode_row(row: Row, tokenizer: Any, train_on: TrainOn) -> Example:
    ids, labels = encode_row(row.value, tokenizer, train_on)
    return Example(np.array(ids, dtype=np.int32), np.array(labels, dtype=np.int32))
