"""Unpaired preferences: answers labelled desirable or undesirable one by one, as tokens."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

from ftsdk.data import Row
from ftsdk.job_folder import JobFolder
from ftsdk.modeling.batches import Example
from ftsdk.modeling.encoded_rows import EncodedRows, encode
from ftsdk.workers.event_writer import EventWriter
from ftsdk_local.settings import Settings
from ftsdk_local.train.common.sequences import Sequences, read_units

_BALANCED = (0.5, 2.0)  # equation 8 of arXiv 2402.01306 asks for 1 to 4/3; this is far from it


class UnpairedExample(NamedTuple):
    """A prompt and its answer, labelled desirable or not."""

    example: Example
    good: bool

    @property
    def rows(self) -> tuple[Example, ...]:
        """The one row."""
        return (self.example,)

    @property
    def weight(self) -> int:
        """Answers count alike, however long they are."""
        return 1


def read_unpaired(
    settings: Settings, tokenizer: Any, folder: JobFolder, reporter: EventWriter
) -> Sequences[UnpairedExample]:
    """Read, tokenize and split; counts and truncation are reported, with a warning where the labels are out of balance.

    Raises:
        DataError: Rows cannot be trained on.
    """
    encode_rows = partial(encode_unpaired, tokenizer=tokenizer, max_length=settings.data.max_length)
    training, held_out = read_units(settings, encode_rows, folder, reporter)
    weights = settings.options["desirable_weight"], settings.options["undesirable_weight"]
    _report_balance(training, weights, reporter)
    return Sequences([[unit] for unit in training], [[unit] for unit in held_out])


def encode_unpaired(rows: Iterable[Row], tokenizer: Any, *, max_length: int) -> EncodedRows[UnpairedExample]:
    """Tokenize rows; the answer carries loss.

    Args:
        rows: Canonical rows of the format ``unpaired_preference``.
        tokenizer: A fast tokenizer; with a chat template where rows are conversations.
        max_length: Longer rows are truncated at the end.

    Raises:
        DataError: As for :func:`ftsdk.modeling.encoded_rows.encode`.
    """
    preferences = list(rows)
    encoded = encode(preferences, tokenizer, train_on="completion", max_length=max_length)
    units = [
        UnpairedExample(example, row.value["label"]) for example, row in zip(encoded.examples, preferences, strict=True)
    ]
    return EncodedRows(units, encoded.truncated, encoded.dropped_tokens, encoded.longest)


def _report_balance(units: Sequence[UnpairedExample], weights: tuple[float, float], reporter: EventWriter) -> None:
    good = sum(unit.good for unit in units)
    bad = len(units) - good
    reporter.log(f"to train on: {good} good rows, {bad} bad ones")
    low, high = _BALANCED
    if not (bad and low <= round(good * weights[0] / (bad * weights[1]), 2) <= round(high, 2)):
        reporter.warning(
            f"{good} good rows and {bad} bad ones are out of balance: choose method.desirable_weight and "
            "method.undesirable_weight so that the good rows weigh 1 to 4/3 of the bad ones in all"
        )
