"""Rows as tokens and labels in an engine's own Python, by the code that the local engine uses.

This module is copied beside engines; of ours it imports the runner support and the encoding alone.
"""

# Engines have templates, masks and truncation of their own, which differ. With tokens and labels made here, every
# engine trains on the same text and the same loss mask.

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, islice, pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from ftsdk.data.row_labels import (
    IGNORED,
    PLAIN_TEMPLATE,
    Refused,
    encode_pair,
    encode_prompt,
    encode_row,
    prompt_and_answer,
)
from ftsdk.engines.runner_support import Request, Result, RunnerError

FOLDER = "tokens"
"""The folder that they are written into."""
PARTS = {"train": "rows.jsonl", "validation": "held.jsonl"}
"""From a split to the file of its canonical rows."""
_PIECE = 1000  # rows
# a copy of ftsdk.data.formats.PAIRED: this file runs in an engine's own Python, where ftsdk is not installed
_PAIRED = frozenset({"dpo", "orpo", "reward_modeling"})


class Tokens(NamedTuple):
    """A text to train on, truncated at the largest length."""

    ids: list[int]
    labels: list[int]
    """The token where it carries loss, else -100."""


class EncodedRow(NamedTuple):
    """A row as tokens."""

    texts: dict[str, Tokens]
    """By name: ``chosen`` and ``rejected`` of a pair; ``text`` of any other row, and for KTO beside it ``other``, the
    prompt with the next row's answer; the prompt alone where the engine is to answer it."""
    row: dict[str, Any]
    """In its canonical form."""


Columns = Callable[[EncodedRow], dict[str, Any]]
"""Makes a row with the columns that an engine reads."""


def text_columns(encoded: EncodedRow, prefixes: Mapping[str, str] = MappingProxyType({"text": ""})) -> dict[str, Any]:
    """The columns of each text: tokens, mask and labels.

    Args:
        encoded: The row.
        prefixes: From a text's name to the prefix of its columns; without an entry, it is the name.
    """
    row: dict[str, Any] = {}
    for name, (ids, labels) in encoded.texts.items():
        prefix = prefixes.get(name, f"{name}_")
        row |= {f"{prefix}input_ids": ids, f"{prefix}attention_mask": [1] * len(ids), f"{prefix}labels": labels}
    return row


def load_tokenizer(request: Request) -> Any:
    """The model's tokenizer, with the template that the spec names, or a plain one where it has none.

    Raises:
        RunnerError: It cannot be loaded, or cannot map tokens to places in the text.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(request["model"], trust_remote_code=request["trust_remote_code"])
    except (OSError, ValueError, KeyError) as error:
        raise RunnerError("engine_error", f"the tokenizer of {request['model']} cannot be loaded: {error}") from error
    if not tokenizer.is_fast:
        raise RunnerError("engine_error", f"the tokenizer of {request['model']} is not a fast one (no tokenizer.json)")
    tokenizer.chat_template = request["chat_template"] or tokenizer.chat_template or PLAIN_TEMPLATE
    return tokenizer


def write_tokens(request: Request, tokenizer: Any, columns: Columns) -> Result:
    """Write all rows as a dataset into :data:`FOLDER`, with the splits ``train`` and ``validation``.

    Returns:
        ``rows``, how many of them were ``truncated``, and the sha256 of the ``chat_template``.

    Raises:
        RunnerError: A row has nothing to train on; it is named.
    """
    import datasets

    counts = {"rows": 0, "truncated": 0}
    encoded = {
        part: _dataset(map(columns, _encoded(Path(name), request, tokenizer, counts)))
        for part, name in PARTS.items()
        if Path(name).is_file()
    }
    shutil.rmtree(FOLDER, ignore_errors=True)
    datasets.DatasetDict(encoded).save_to_disk(FOLDER)
    return {**counts, "chat_template": hashlib.sha256(tokenizer.chat_template.encode()).hexdigest()}


def _dataset(rows: Iterator[dict[str, Any]]) -> Any:
    """Rows as a table."""
    # In pieces: all tokens as Python's own integers, some 30 bytes each, could fill the memory.
    import datasets

    pieces = []
    while piece := list(islice(rows, _PIECE)):
        pieces.append(datasets.Dataset.from_list(piece))
    return datasets.concatenate_datasets(pieces)


def _encoded(path: Path, request: Request, tokenizer: Any, counts: dict[str, int]) -> Iterator[EncodedRow]:
    longest = request["max_length"]
    for number, (row, following) in enumerate(_with_next(path), 1):
        place = f"{path.stem} {number}"
        try:
            texts = _texts(row, following, request, tokenizer)
        except Refused as refusal:
            raise RunnerError("data_error", f"{place}: {refusal}; {refusal.fix}".rstrip("; ")) from refusal
        counts["rows"] += 1
        counts["truncated"] += any(len(ids) > longest for ids, _ in texts.values())
        truncated = {name: Tokens(ids[:longest], labels[:longest]) for name, (ids, labels) in texts.items()}
        if problem := _find_problem(row, list(truncated.values())):
            message = f"{place}: {problem} within training.max_length; raise it, or remove the row"
            raise RunnerError("data_error", message)
        yield EncodedRow(truncated, row)


def _with_next(path: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each row, and the one that follows it; the first follows the last."""
    with path.open(encoding="utf-8") as lines:
        rows = map(json.loads, lines)
        for first in rows:
            yield from pairwise(chain([first], rows, [first]))


def _texts(
    row: dict[str, Any], following: dict[str, Any], request: Request, tokenizer: Any
) -> dict[str, tuple[list[int], list[int]]]:
    method = request["method"]
    if method in _PAIRED:
        return dict(zip(("chosen", "rejected"), encode_pair(row, tokenizer), strict=True))
    if method == "ppo":
        return {"text": _prompt(row, tokenizer, request["max_length"] - request["max_new_tokens"])}
    text = {"text": encode_row(row, tokenizer, request["train_on"])}
    if method != "kto":
        return text
    return {**text, "other": encode_row({**row, "completion": following["completion"]}, tokenizer, "completion")}


def _prompt(row: dict[str, Any], tokenizer: Any, longest: int) -> tuple[list[int], list[int]]:
    ids = encode_prompt(prompt_and_answer(row)[0], tokenizer, row.get("tools"))
    if not 1 < len(ids) <= longest:
        problem = f"the prompt has {len(ids)} tokens; training.max_length less method.max_new_tokens leaves {longest}"
        raise Refused(problem, "raise training.max_length, lower method.max_new_tokens, or remove the row")
    return ids, ids


def _find_problem(row: dict[str, Any], texts: list[Tokens]) -> str:
    """Why a truncated row has nothing to train on; empty: it has."""
    if any(all(label == IGNORED for label in text.labels[1:]) for text in texts):
        return "no token carries loss"
    if "chosen" in row and texts[0] == texts[1] and row["chosen"] != row["rejected"]:
        return "chosen and rejected are the same"
    return ""
