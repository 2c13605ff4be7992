"""From the dataset of a plan to tokenized sequences, training and held-out."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from ftsdk.data import Row, rows
from ftsdk.data.download import download_dataset
from ftsdk.data.split import held_out
from ftsdk.errors import DataError
from ftsdk.job_folder import JobFolder
from ftsdk.modeling.batches import Example, Pair, pack, tokens_of
from ftsdk.modeling.encoded_rows import EncodedRows, U, encode
from ftsdk.modeling.pairs import encode_pairs
from ftsdk.spec import Dataset
from ftsdk.workers.event_writer import EventWriter
from ftsdk_local.settings import Settings

Item = TypeVar("Item")


class Sequences(NamedTuple, Generic[U]):
    """What optimizer steps count: each a row or a pair, or with packing several complete rows."""

    training: list[list[U]]
    held_out: list[list[U]]


def read_template(dataset: Dataset) -> str | None:
    """The chat template that the dataset names, as Jinja source.

    Raises:
        DataError: Its file cannot be read.
    """
    if dataset.chat_template is None:
        return None
    try:
        return Path(dataset.chat_template).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"dataset.chat_template: {dataset.chat_template} cannot be read: {error}") from error


def read_sequences(settings: Settings, tokenizer: Any, folder: JobFolder, reporter: EventWriter) -> Sequences[Example]:
    """Read, tokenize, split and pack; counts and truncation are reported.

    Raises:
        DataError: Rows cannot be trained on.
    """
    data = settings.data
    encode_rows = partial(encode, tokenizer=tokenizer, train_on=data.train_on, max_length=data.max_length)
    training, held_out = read_units(settings, encode_rows, folder, reporter)
    packed = pack(training, data.max_length) if data.packing else [[example] for example in training]
    return Sequences(packed, [[example] for example in held_out])


def read_pairs(settings: Settings, tokenizer: Any, folder: JobFolder, reporter: EventWriter) -> Sequences[Pair]:
    """Read, tokenize and split pairs of answers; counts and truncation are reported.

    Raises:
        DataError: Rows cannot be compared.
    """
    encode_rows = partial(encode_pairs, tokenizer=tokenizer, max_length=settings.data.max_length)
    training, held_out = read_units(settings, encode_rows, folder, reporter)
    return Sequences([[pair] for pair in training], [[pair] for pair in held_out])


def read_units(
    settings: Settings, encode_rows: Callable[[Iterable[Row]], EncodedRows[U]], folder: JobFolder, reporter: EventWriter
) -> tuple[list[U], list[U]]:
    """Read, tokenize and split; counts and truncation are reported.

    Args:
        settings: The plan.
        encode_rows: Makes units of rows.
        folder: Where remote datasets are cached.
        reporter: Writes the events.

    Returns:
        To train on, and held out.

    Raises:
        DataError: Rows cannot be trained on.
    """
    data = settings.data

    def read(dataset: Dataset, name: str) -> list[U]:
        encoded = encode_rows(rows(download_dataset(dataset, folder.cache), settings.method))
        _report_counts(encoded, name, data.max_length, reporter)
        return encoded.examples

    training = read(data.dataset, "dataset")
    if data.eval_dataset is not None:
        return training, read(data.eval_dataset, "eval_dataset")
    return split_examples(training, data.val_size, settings.arguments["seed"])


def _report_counts(encoded: EncodedRows[Any], name: str, max_length: int, reporter: EventWriter) -> None:
    units, tokens = encoded.examples, sum(map(tokens_of, encoded.examples))
    count = sum(len(unit.rows) for unit in units)
    pairs = "" if count == len(units) else f" in {len(units)} pairs"
    reporter.log(f"{name}: {count} rows{pairs}, {tokens} tokens, the longest {encoded.longest}")
    if encoded.truncated:
        reporter.warning(
            f"{name}: {encoded.truncated} of {count} rows were cut at {max_length} "
            f"tokens, {encoded.dropped_tokens} tokens lost; training.max_length={encoded.longest} would keep all"
        )


def split_examples(examples: Sequence[Item], val_size: float, seed: int) -> tuple[list[Item], list[Item]]:
    """The rows to train on, and those that are held out.

    Raises:
        DataError: There are too few rows.
    """
    places = held_out(len(examples), val_size, seed)
    return (
        [example for place, example in enumerate(examples) if place not in places],
        [example for place, example in enumerate(examples) if place in places],
    )
