"""The rows that an evaluation looks at: those that the job held out, or those that it is given."""

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError

from ftsdk.artifact import EvaluationSettings, Manifest
from ftsdk.data import Row, is_local, rows
from ftsdk.data.download import download_dataset
from ftsdk.data.split import split_rows
from ftsdk.errors import ArtifactError, DataError, InputError
from ftsdk.files import sha256
from ftsdk.home import home
from ftsdk.spec import Dataset, JobSpec
from ftsdk.spec.validation_messages import problems_of

MEASURED = frozenset({"sft", "dpo", "reward_modeling"})
"""Methods that have a measure over held-out rows. Of what others have made, the loss over given rows is taken."""

_GIVE = "give rows with dataset=, on the command line --dataset FILE"


class HeldRows(NamedTuple):
    """Rows to look at."""

    rows: list[Row]
    method: str
    """The method whose measure is taken."""
    origin: Literal["job", "dataset"]
    files: dict[str, str]
    """From each file to its sha256."""


def spec_of(manifest: Manifest) -> JobSpec:
    """The job's spec; where the manifest of a hosted job holds none, one with its method and our defaults.

    Raises:
        ArtifactError: It cannot be read.
    """
    method = {"type": manifest.method if manifest.method in MEASURED else "sft"}
    known = {"model": manifest.base_model or "unknown", "dataset": "unknown", "method": method}
    try:
        return JobSpec.model_validate(manifest.spec or known)
    except ValidationError as error:
        raise ArtifactError(
            "the spec in the manifest cannot be read",
            problems=problems_of(error),
            hint="a newer ftsdk may have written it",
        ) from error


def rows_of(manifest: Manifest, spec: JobSpec, wanted: EvaluationSettings) -> HeldRows | None:
    """The rows that are asked for; None where there are none to be had.

    Raises:
        DataError: A file is gone or has changed, or the rows cannot be read.
        InputError: The method has no measure over rows that it held out.
    """
    if wanted.dataset is not None:
        return _given(wanted.dataset, manifest.method, wanted.limit)
    if not wanted.held_out or not (spec.val_size or spec.eval_dataset):
        return None
    if manifest.method not in MEASURED:
        raise InputError(
            f"{manifest.method} has no loss over the rows that it holds out",
            hint=f"{_GIVE} of prompts and completions; or held_out=False, --no-held-out",
        )
    return _held_out(manifest, spec, wanted.limit)


def _given(dataset: Dataset, method: str, limit: int | None) -> HeldRows:
    taken = method if method in MEASURED else "sft"
    if far := [path for path in dataset.paths if not is_local(path)]:
        raise DataError(f"dataset: {far[0]} is no file on this machine", hint="download it and give the file")
    found = list(islice(rows(dataset, taken), limit))
    return HeldRows(found, taken, "dataset", {path: sha256(Path(path).expanduser()) for path in dataset.paths})


def _held_out(manifest: Manifest, spec: JobSpec, limit: int | None) -> HeldRows:
    """The job's own draw, of the same files."""
    planned = manifest.plan.get("data")
    pinned: Mapping[str, Any] = planned if isinstance(planned, dict) else {}
    files: dict[str, str] = {}

    def here(field: str, dataset: Dataset | None) -> dict[str, Any] | None:
        if dataset is None:
            return None
        return _brought(field, dataset, pinned.get(field), manifest.data, files).model_dump()

    reads = "eval_dataset" if spec.eval_dataset else "dataset"
    told = {
        "dataset": here("dataset", spec.dataset if reads == "dataset" else None) or spec.dataset.model_dump(),
        "eval_dataset": here("eval_dataset", spec.eval_dataset),
        "val_size": spec.val_size,
        "seed": spec.training.seed,
        "method": manifest.method,
    }
    _, second = split_rows(told)
    assert second is not None
    return HeldRows(list(islice(second(), limit)), manifest.method, "job", files)


def _brought(field: str, dataset: Dataset, planned: Any, hashes: Mapping[str, str], files: dict[str, str]) -> Dataset:
    """A dataset of the job on this machine, byte for byte the one that it had.

    Args:
        field: Of the spec, for errors.
        dataset: As the spec names it.
        planned: As the plan names it: with whole paths, and a commit for a dataset of the Hub.
        hashes: What the manifest knows of the job's files.
        files: Takes up the hash of each file.
    """
    named = Dataset.model_validate(planned) if isinstance(planned, dict) and _there(planned) else dataset
    if any("://" in path for path in named.paths):
        raise DataError(f"{field}: nothing tells whether {named.paths[0]} still holds the job's rows", hint=_GIVE)
    if not all(is_local(path) for path in named.paths):
        if named.revision is None:
            raise DataError(f"{field}: no commit of {named.paths[0]} is known", hint=_GIVE)
        return download_dataset(named, home() / "datasets")
    for path in named.paths:
        files[path] = _unchanged(field, Path(path).expanduser(), hashes)
    return named


def _there(planned: Mapping[str, Any]) -> bool:
    """Whether the plan's own paths lead anywhere on this machine; a hosted job's do not."""
    paths = Dataset.model_validate(planned).paths
    return all(Path(path).is_file() for path in paths if is_local(path))


def _unchanged(field: str, path: Path, hashes: Mapping[str, str]) -> str:
    if not path.is_file():
        raise DataError(f"{field}: {path}, of which the job held rows out, is not on this machine", hint=_GIVE)
    digest = sha256(path)
    if digest not in hashes.values():
        why = "has changed since the job read it" if hashes else "may have changed: the manifest holds no hash of it"
        raise DataError(
            f"{field}: {path} {why}, so its held-out rows may be rows that were learned from",
            hint=f"put the file back, or {_GIVE}",
        )
    return digest


def prompts_of(held: list[Row], number: int) -> Iterator[Row]:
    """The first rows that ask something."""
    return islice((row for row in held if "text" not in row.value), number)
