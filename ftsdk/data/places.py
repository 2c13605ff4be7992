"""Tell local files from Hub ids and addresses."""

import re
from pathlib import Path

from ftsdk.errors import DataError
from ftsdk.spec import Dataset

_SUFFIXES = (".jsonl", ".json", ".ndjson", ".gz", ".csv", ".parquet", ".txt")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def is_local(path: str) -> bool:
    """Whether a path means a file on this disk, there or not; else it is a Hub id or an address."""
    if "://" in path:
        return False
    if path.startswith(("/", ".", "~")) or path.lower().endswith(_SUFFIXES) or Path(path).expanduser().exists():
        return True
    return not _HUB_ID.fullmatch(path)


def local_paths(dataset: Dataset) -> list[Path]:
    """The files of a dataset.

    Raises:
        DataError: A file is not there, or the dataset is remote and has to be brought here first.
    """
    paths = []
    for name in dataset.paths:
        if not is_local(name):
            raise DataError(f"dataset.path: {name} is not on this disk", hint="its rows are checked once it is here")
        path = Path(name).expanduser()
        if not path.exists():
            hub = "; a Hub dataset is named org/name" if _HUB_ID.fullmatch(name) else ""
            raise DataError(f"dataset.path: there is no file {path.absolute()}", hint=f"check the path{hub}")
        paths.append(path)
    return paths
