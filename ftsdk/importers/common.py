"""What importers of several tools share: equal names, checks of rows and of models on this disk."""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from ftsdk.data import is_local
from ftsdk.data.formats import FORMATS
from ftsdk.data.read import read_rows
from ftsdk.errors import DataError, Problem
from ftsdk.importers.importer import ConfigReader

OPTIMIZERS = {
    "adamw_torch": "adamw_torch",
    "adamw_torch_fused": "adamw_torch",
    "adamw_8bit": "adamw_8bit",
    "adamw_bnb_8bit": "adamw_8bit",
    "paged_adamw": "paged_adamw_32bit",
    "paged_adamw_32bit": "paged_adamw_32bit",
    "paged_adamw_8bit": "paged_adamw_8bit",
    "adafactor": "adafactor",
    "sgd": "sgd",
}
"""From Transformers' names of optimizers to ours, where they compute the same."""

SCHEDULES = {
    name: name
    for name in (
        "linear",
        "cosine",
        "cosine_with_restarts",
        "polynomial",
        "constant",
        "constant_with_warmup",
        "inverse_sqrt",
    )
}
"""Schedules that have the same name in Transformers."""

JOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}")
"""Names that a job may have; a tracker accepts more."""

IN_STEPS = "ftsdk counts in optimizer steps"
REMOVE = "remove it"
NO_KEYS = "keys belong in the environment, never in a file"
CHANGES_TOKENS = "it changes tokens or embeddings"
CHANGES_ENGINE = "it changes the training in a way that a spec cannot express"
SAVE_MODEL = "save the changed tokenizer and model in a folder, and name that"

_SUFFIXES = (".json", ".jsonl", ".ndjson", ".gz")


def check_rows(
    reader: ConfigReader, key: str, paths: Iterable[str], row_format: Mapping[str, Any], *, reads: Collection[str]
) -> None:
    """Refuse rows that ftsdk would not read as the tool does, judged by their suffix and the first row.

    Args:
        reader: Of the file.
        key: Names the dataset in it.
        paths: The dataset's paths.
        row_format: Its ``format`` and ``columns`` as a spec has them.
        reads: Keys of a row that the tool reads.
    """
    used_keys = frozenset().union(*(format_.uses for format_ in FORMATS if format_.name == row_format["format"]))
    for path in paths:
        if not is_local(path):
            continue
        if not path.lower().endswith(_SUFFIXES):
            reader.refuse(key, "rows are read from JSON files only", "convert it to JSON Lines, and name the file")
            continue
        strays = {*first_row(path)} & (used_keys - row_format.get("columns", {}).keys()) - {*reads}
        for stray in sorted(strays):
            reason = f"the rows have the key {stray}, which {reader.tool} ignores here, and ftsdk would read"
            reader.refuse(key, reason, "rename the key in the rows, or name it in the file")


def first_row(path: str | Path) -> dict[str, Any]:
    """The first row of a file; empty where there is none, or it cannot be read: the plan reports that."""
    try:
        return next((line.value for line in read_rows(Path(path).expanduser(), _ignore)), {})
    except (DataError, OSError):
        return {}


def _ignore(problem: Problem) -> None:
    """The plan reports bad rows, with their lines."""


def shape_of(name: str, **columns: str | None) -> dict[str, Any]:
    """A dataset's ``format``, and its ``columns`` where rows name its keys otherwise; None: no such key."""
    renamed = {key: column for key, column in columns.items() if column and column != key}
    return {"format": name, "columns": renamed} if renamed else {"format": name}


def own_template(reader: ConfigReader, key: str, name: str, model: str) -> None:
    """Note a chat template of the tool's own: ftsdk renders with the model's.

    It cannot be proven that the two render the same text. Where the model has a template, they usually do, since the
    tool copies it from there; where it is known to have none, they do not, and the key is refused.
    """
    field = "dataset.chat_template"
    if _has_no_template(Path(model).expanduser()):
        reason = f"{name} is {reader.tool}'s own chat template, and the model has none"
        reader.refuse(key, reason, "write it into a Jinja file", field=field)
        return
    text = (
        f"{name} is {reader.tool}'s own chat template; ftsdk renders with the model's own, which must render the same:"
        f" if it does not, or the model is a base model without one, set {field}=FILE.jinja"
    )
    reader.note(key, text)


def _has_no_template(folder: Path) -> bool:
    """Whether a model on this disk is known to have no chat template."""
    config = folder / "tokenizer_config.json"
    if (folder / "chat_template.jinja").is_file() or not config.is_file():
        return False
    try:
        return not json.loads(config.read_text("utf-8")).get("chat_template")
    except (OSError, ValueError, AttributeError):
        return False
