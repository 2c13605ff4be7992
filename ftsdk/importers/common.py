"""What importers of several tools need to know of rows and models on this disk."""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from ftsdk.data import is_local
from ftsdk.data.formats import FORMATS
from ftsdk.data.read import read_rows
from ftsdk.errors import DataError, Problem
from ftsdk.importers.importer import Sheet

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
"""What a job's name may be; a tracker's may be more."""

_SUFFIXES = (".json", ".jsonl", ".ndjson", ".gz")


def check_rows(
    sheet: Sheet, key: str, paths: Iterable[str], shape: Mapping[str, Any], *, reads: Collection[str]
) -> None:
    """Refuse rows that ftsdk would read otherwise than the tool, as far as their suffix and the first row tell.

    Args:
        sheet: The file.
        key: Names the dataset in it.
        paths: The dataset's paths.
        shape: Its ``format`` and ``columns`` in ftsdk's words.
        reads: Keys of a row that the tool reads.
    """
    ours = frozenset().union(*(each.uses for each in FORMATS if each.name == shape["format"]))
    for path in paths:
        if not is_local(path):
            continue
        if not path.lower().endswith(_SUFFIXES):
            sheet.refuse(key, "rows are read from JSON files only", "convert it to JSON Lines, and name the file")
            continue
        strays = {*first_row(path)} & (ours - shape.get("columns", {}).keys()) - {*reads}
        for stray in sorted(strays):
            what = f"the rows have the key {stray}, which {sheet.tool} passes over here, and ftsdk would read"
            sheet.refuse(key, what, "rename the key in the rows, or name it in the file")


def first_row(path: str | Path) -> dict[str, Any]:
    """The first row of a file; empty where there is none, or none that can be read: the plan tells of that."""
    try:
        return next((line.value for line in read_rows(Path(path).expanduser(), _pass_over)), {})
    except (DataError, OSError):
        return {}


def _pass_over(problem: Problem) -> None:
    """The plan tells of bad rows, with their lines."""


def shape_of(name: str, **columns: str | None) -> dict[str, Any]:
    """A dataset's ``format``, and its ``columns`` where the rows call them otherwise; None: there is no such key."""
    renamed = {ours: theirs for ours, theirs in columns.items() if theirs and theirs != ours}
    return {"format": name, "columns": renamed} if renamed else {"format": name}


def own_template(sheet: Sheet, key: str, name: str, model: str) -> None:
    """Tell of a chat template of the tool's own: ftsdk renders with the model's.

    Nobody can prove that the two write the same text. Where the model has a template, they do as a rule, since the
    tool copies it from there; where it is known to have none, they do not, and the key is refused.
    """
    field = "dataset.chat_template"
    if _has_no_template(Path(model).expanduser()):
        why = f"{name} is {sheet.tool}'s own chat template, and the model has none"
        sheet.refuse(key, why, "write it into a Jinja file", field=field)
        return
    text = (
        f"{name} is {sheet.tool}'s own chat template; ftsdk renders with the model's own, which must say the same:"
        f" if it does not, or the model is a base model without one, set {field}=FILE.jinja"
    )
    sheet.differ(key, text)


def _has_no_template(folder: Path) -> bool:
    """Whether a model on this disk is known to have no chat template."""
    config = folder / "tokenizer_config.json"
    if (folder / "chat_template.jinja").is_file() or not config.is_file():
        return False
    try:
        return not json.loads(config.read_text("utf-8")).get("chat_template")
    except (OSError, ValueError, AttributeError):
        return False
