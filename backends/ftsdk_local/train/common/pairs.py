"""From the dataset of a plan to pairs of answers, training and held-out."""

from functools import partial
from typing import Any

from ftsdk.job_folder import JobFolder
from ftsdk.modeling.batches import Pair
from ftsdk.modeling.pairs import encode_pairs
from ftsdk.workers.event_writer import EventWriter
from ftsdk_local.settings import Settings
from ftsdk_local.train.common.sequences import Sequences, read_units


def read_pairs(settings: Settings, tokenizer: Any, folder: JobFolder, reporter: EventWriter) -> Sequences[Pair]:
    """Read, tokenize and hold out; counts, and what was cut, are told.

    Raises:
        DataError: Rows cannot be compared.
    """
    tokenized = partial(encode_pairs, tokenizer=tokenizer, max_length=settings.data.max_length)
    training, held_out = read_units(settings, tokenized, folder, reporter)
    return Sequences([[pair] for pair in training], [[pair] for pair in held_out])
