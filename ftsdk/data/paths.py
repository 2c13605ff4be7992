"""Distinguish local files from Hub ids and addresses."""

import os
import re
from pathlib import Path

from ftsdk.errors import DataError, nearest
from ftsdk.redact import redact
from ftsdk.spec import Dataset

_SUFFIXES = (".jsonl", ".ndjson", ".json", ".gz", ".csv", ".tsv", ".parquet", ".arrow", ".txt", ".zip")
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
"""Names that a repository on the Hub may have, with or without its owner."""


def is_local(path: str) -> bool:
    """Whether a path means a file on this disk, which may be missing; else it is a Hub id or an address."""
    if "://" in path:
        return False
    if path.startswith(("/", ".", "~")) or path.lower().endswith(_SUFFIXES) or _exists(path):
        return True
    return not HUB_ID.fullmatch(path)


def local_paths(dataset: Dataset) -> list[Path]:
    """The files of a dataset.

    Raises:
        DataError: A file is missing, or the dataset is remote and must be downloaded first.
    """
    return [_local_path(name) for name in dataset.paths]


def _local_path(name: str) -> Path:
    if not is_local(name):
        raise DataError(
            f"dataset.path: {redact(name)} is not on this machine, so its rows cannot be read here",
            hint="download it and give the file, or use a backend that downloads datasets itself",
        )
    path = Path(os.path.expanduser(name))  # noqa: PTH111 - Path.expanduser raises where a user is unknown
    if not _exists(name):
        raise DataError(f"dataset.path: there is no file {redact(str(path.absolute()))}", hint=_next_step(name, path))
    return path


def _exists(name: str) -> bool:
    return os.path.exists(os.path.expanduser(name))  # noqa: PTH110, PTH111 - Path's own raise on odd names


def _next_step(name: str, path: Path) -> str:
    """The next step where a file is missing: a name like it in the same folder, or what a Hub id looks like."""
    if os.path.islink(path):  # noqa: PTH114 - Path's own raises on odd names
        return "it is a link whose target is missing"
    if suggestion := nearest(path.name, _names_in(path.parent)):
        return suggestion
    if HUB_ID.fullmatch(name) and "/" in name:
        return "check the path; if you mean a dataset on the Hub, it is named org/name without an ending like .json"
    return "check the path"


def _names_in(folder: Path) -> list[str]:
    """The entries of a folder; none where it is missing or may not be read."""
    try:
        return [entry.name for entry in folder.iterdir()]
    except (OSError, ValueError):  # ValueError: a name that no system takes
        return []
