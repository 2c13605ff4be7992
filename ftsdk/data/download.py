"""Download rows from the Hub, or from an address, to a local file, so that one strict reader reads them all."""

import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ftsdk.data import is_local
from ftsdk.errors import DataError
from ftsdk.spec import Dataset

SCHEMES = ("https://", "s3://", "gs://", "az://")
"""Addresses that rows are downloaded from; other paths are local files or Hub ids."""


def download_dataset(dataset: Dataset, cache: Path) -> Dataset:
    """The same dataset with local files only; what is remote is downloaded once into ``cache``.

    Raises:
        DataError: It cannot be downloaded.
    """
    if all(is_local(path) for path in dataset.paths):
        return dataset
    cache.mkdir(parents=True, exist_ok=True)
    paths = tuple(path if is_local(path) else str(_download(path, dataset, cache)) for path in dataset.paths)
    return dataset.model_copy(update={"path": paths})


def _download(path: str, dataset: Dataset, cache: Path) -> Path:
    name = hashlib.sha256(f"{path}@{dataset.revision}:{dataset.split}".encode()).hexdigest()[:16]
    suffix = "".join(Path(urlsplit(path).path).suffixes[-2:]) if "://" in path else ".jsonl"
    target = cache / f"{name}{suffix}"
    if target.exists():
        return target
    # renamed once it is complete: a download that breaks off must not pass for the file
    temporary = target.with_name(f".{target.name}")
    try:
        if "://" in path:
            _from_address(path, temporary)
        else:
            _from_hub(path, dataset, temporary)
    except Exception as error:  # each storage has its own errors; all mean the same to the user
        raise DataError(
            f"dataset.path: {path} cannot be downloaded: {type(error).__name__}: {error}",
            hint="check the name, your access and the network, or give a local file",
        ) from error
    return temporary.rename(target)


def _from_address(address: str, target: Path) -> None:
    if not address.startswith(SCHEMES):
        raise ValueError(f"addresses begin with {', '.join(SCHEMES)}")
    import fsspec  # noqa: PLC0415 - only for addresses

    with fsspec.open(address, "rb") as source, target.open("wb") as file:
        while block := source.read(1 << 20):
            file.write(block)


def _from_hub(name: str, dataset: Dataset, target: Path) -> None:
    from datasets import load_dataset  # noqa: PLC0415 - only for Hub datasets

    rows: Any = load_dataset(name, split=dataset.split, revision=dataset.revision)
    with target.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(_without_nulls(row), ensure_ascii=False) + "\n")


def _without_nulls(value: Any) -> Any:
    """Tables fill a key that a row does not have with null; such a key is left out again."""
    if isinstance(value, dict):
        return {key: _without_nulls(part) for key, part in value.items() if part is not None}
    return [_without_nulls(part) for part in value] if isinstance(value, list) else value
