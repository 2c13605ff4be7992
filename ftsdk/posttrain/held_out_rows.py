"""The rows that an evaluation measures on: those that the job held out, or a dataset that the caller names."""

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

METHODS_WITH_METRICS = frozenset({"sft", "dpo", "reward_modeling"})
"""Methods that have metrics over held-out rows. For artifacts of the others, only the loss over given rows is measured.
"""

_HINT = "give rows with dataset=, on the command line --dataset FILE"


class EvaluationRows(NamedTuple):
    """Rows to measure both models on."""

    rows: list[Row]
    method: str
    """The method whose metrics are measured."""
    origin: Literal["job", "dataset"]
    files: dict[str, str]
    """From each file to its sha256."""


def spec_of(manifest: Manifest) -> JobSpec:
    """The job's spec; where the manifest of a hosted job holds none, one with its method and our defaults.

    Raises:
        ArtifactError: It cannot be read.
    """
    method = {"type": manifest.method if manifest.method in METHODS_WITH_METRICS else "sft"}
    minimal = {"model": manifest.base_model or "unknown", "dataset": "unknown", "method": method}
    try:
        return JobSpec.model_validate(manifest.spec or minimal)
    except ValidationError as error:
        raise ArtifactError(
            "the spec in the manifest cannot be read",
            problems=problems_of(error),
            hint="a newer ftsdk may have written it",
        ) from error


def rows_of(manifest: Manifest, spec: JobSpec, options: EvaluationSettings) -> EvaluationRows | None:
    """The rows to measure on; None if neither the job held out any nor the caller names any.

    Raises:
        DataError: A file is missing or has changed, or the rows cannot be read.
        InputError: The method has no metrics over rows that it held out.
    """
    if options.dataset is not None:
        return _rows_of_dataset(options.dataset, manifest.method, options.limit)
    if not options.held_out or not (spec.val_size or spec.eval_dataset):
        return None
    if manifest.method not in METHODS_WITH_METRICS:
        raise InputError(
            f"{manifest.method} has no loss over the rows that it holds out",
            hint=f"{_HINT} of prompts and completions; or held_out=False, --no-held-out",
        )
    return _held_out_rows(manifest, spec, options.limit)


def _rows_of_dataset(dataset: Dataset, job_method: str, limit: int | None) -> EvaluationRows:
    method = job_method if job_method in METHODS_WITH_METRICS else "sft"
    if remote := [path for path in dataset.paths if not is_local(path)]:
        raise DataError(f"dataset: {remote[0]} is no file on this machine", hint="download it and give the file")
    first_rows = list(islice(rows(dataset, method), limit))  # before the hashes, for its error where a file is missing
    hashes = {path: sha256(Path(path).expanduser()) for path in dataset.paths}
    return EvaluationRows(first_rows, method, "dataset", hashes)


def _held_out_rows(manifest: Manifest, spec: JobSpec, limit: int | None) -> EvaluationRows:
    """The rows that the job held out, drawn again from the same files."""
    native = manifest.plan.get("data")
    planned: Mapping[str, Any] = native if isinstance(native, dict) else {}
    files: dict[str, str] = {}

    def local_dataset(field: str, dataset: Dataset | None) -> dict[str, Any] | None:
        if dataset is None:
            return None
        return _local_dataset(field, dataset, planned.get(field), manifest.data, files).model_dump()

    # Only the dataset that the held-out rows come from must be here: where a job has an eval_dataset, its training rows
    # may be gone.
    training_rows = None if spec.eval_dataset else spec.dataset
    split = {
        "dataset": local_dataset("dataset", training_rows) or spec.dataset.model_dump(),
        "eval_dataset": local_dataset("eval_dataset", spec.eval_dataset),
        "val_size": spec.val_size,
        "seed": spec.training.seed,
        "method": manifest.method,
    }
    # The same function and seed as in training: another draw would hold rows that the model was trained on.
    _, held_out = split_rows(split)
    assert held_out is not None
    return EvaluationRows(list(islice(held_out(), limit)), manifest.method, "job", files)


def _local_dataset(
    field: str, dataset: Dataset, planned: object, hashes: Mapping[str, str], files: dict[str, str]
) -> Dataset:
    """A dataset of the job on this machine, byte for byte the one that was trained on.

    Args:
        field: Of the spec, for errors.
        dataset: As the spec names it.
        planned: As the plan names it: with absolute paths, and a commit for a dataset of the Hub.
        hashes: What the manifest knows of the job's files.
        files: Filled with the hash of each file.
    """
    source = _planned_dataset(planned) or dataset
    if any("://" in path for path in source.paths):
        # Such an address has no commit and no hash, so its rows may be others by now.
        problem = f"{field}: it is not known whether {source.paths[0]} still holds the job's rows"
        raise DataError(problem, hint=_HINT)
    if not all(is_local(path) for path in source.paths):
        if source.revision is None:
            raise DataError(f"{field}: no commit of {source.paths[0]} is known", hint=_HINT)
        return download_dataset(source, home() / "datasets")
    for path in source.paths:
        files[path] = _unchanged_hash(field, Path(path).expanduser(), hashes)
    return source


def _planned_dataset(planned: object) -> Dataset | None:
    """The dataset as a plan names it; None where its paths lead nowhere on this machine, as a hosted job's do."""
    try:
        dataset = Dataset.model_validate(planned) if isinstance(planned, dict) else None
    except ValidationError:  # another backend's request may have other keys here
        return None
    local = dataset and all(Path(path).is_file() for path in dataset.paths if is_local(path))
    return dataset if local else None


def _unchanged_hash(field: str, path: Path, hashes: Mapping[str, str]) -> str:
    if not path.is_file():
        raise DataError(f"{field}: {path}, of which the job held rows out, is not on this machine", hint=_HINT)
    digest = sha256(path)
    if digest not in hashes.values():
        reason = "has changed since the job read it" if hashes else "may have changed: the manifest holds no hash of it"
        raise DataError(
            f"{field}: {path} {reason}, so its held-out rows may be rows that were trained on",
            hint=f"put the file back, or {_HINT}",
        )
    return digest


def prompts_of(candidates: list[Row], number: int) -> Iterator[Row]:
    """The first rows that hold a prompt; plain text has none."""
    return islice((row for row in candidates if "text" not in row.value), number)
