"""From the dataset of a plan to tokenized sequences, training and held-out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ftsdk.data import rows
from ftsdk.errors import DataError
from ftsdk.spec import Dataset
from ftsdk_local.engine.batches import Example, pack
from ftsdk_local.engine.encode import encode
from ftsdk_local.engine.remote import localize
from ftsdk_local.folder import JobFolder
from ftsdk_local.report import Reporter
from ftsdk_local.settings import Settings


class Sequences(NamedTuple):
    """What optimizer steps count: each a row, or with packing several whole rows."""

    training: list[list[Example]]
    held_out: list[list[Example]]


def template_of(dataset: Dataset) -> str | None:
    """The chat template that the user gave, as Jinja source.

    Raises:
        DataError: Its file cannot be read.
    """
    if dataset.chat_template is None:
        return None
    try:
        return Path(dataset.chat_template).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"dataset.chat_template: {dataset.chat_template} cannot be read: {error}") from error


def read_sequences(settings: Settings, tokenizer: Any, folder: JobFolder, reporter: Reporter) -> Sequences:
    """Read, tokenize, hold out and pack; counts, and what was cut, are told.

    Raises:
        DataError: Rows cannot be trained on.
    """
    data = settings.data

    def read(dataset: Dataset, what: str) -> list[Example]:
        encoded = encode(
            rows(localize(dataset, folder.cache), settings.method),
            tokenizer,
            train_on=data.train_on,
            max_length=data.max_length,
        )
        tokens = sum(len(example.input_ids) for example in encoded.examples)
        reporter.log(f"{what}: {len(encoded.examples)} rows, {tokens} tokens, the longest {encoded.longest}")
        if encoded.truncated:
            reporter.warning(
                f"{what}: {encoded.truncated} of {len(encoded.examples)} rows were cut at {data.max_length} "
                f"tokens, {encoded.dropped_tokens} tokens lost; training.max_length={encoded.longest} would keep all"
            )
        return encoded.examples

    training = read(data.dataset, "dataset")
    if data.eval_dataset is not None:
        held_out = read(data.eval_dataset, "eval_dataset")
    else:
        training, held_out = split(training, data.val_size, settings.arguments["seed"])
    packed = pack(training, data.max_length) if data.packing else [[example] for example in training]
    return Sequences(packed, [[example] for example in held_out])


def split(examples: Sequence[Example], val_size: float, seed: int) -> tuple[list[Example], list[Example]]:
    """Hold out a share (below 1) or a number of rows, drawn by the seed; at least one, and never all.

    Raises:
        DataError: There are too few rows.
    """
    if val_size == 0:
        return list(examples), []
    count = max(round(val_size * len(examples)), 1) if val_size < 1 else int(val_size)
    if count >= len(examples):
        raise DataError(
            f"val_size={val_size:g} would hold out {count} of {len(examples)} rows and leave none to train on",
            hint="lower val_size, or add rows",
        )
    order = np.random.default_rng(seed).permutation(len(examples))
    chosen = set(order[:count].tolist())
    return (
        [example for place, example in enumerate(examples) if place not in chosen],
        [example for place, example in enumerate(examples) if place in chosen],
    )
