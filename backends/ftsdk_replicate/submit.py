"""Create exactly one training for a token: check the destination, upload the rows, send the creation.

The address of the uploaded rows is unique to a submission, so it identifies the training in the list of all trainings.
When a creation may be sent at all is decided in :mod:`ftsdk.remote.create_once`.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ftsdk.backend import Plan, Record
from ftsdk.errors import AuthError, RejectedError, UnreachableError
from ftsdk.remote.rows import RowsFile
from ftsdk_replicate.api import Json, ReplicateApi
from ftsdk_replicate.errors import ERROR_MAPPER
from ftsdk_replicate.rows import write_files
from ftsdk_replicate.translate import FILE, HELD_OUT_FILE, SECRET

ROWS = "rows"
"""A fact: the address of the rows."""
_MARK = "ftsdk"
"""The name of the token among a file's metadata."""


class TrainingRequest(NamedTuple):
    """What creates a training."""

    body: Mapping[str, Any]
    """With secrets in it: it is sent, and never stored."""
    rows_address: str
    """Of the uploaded rows; no other submission has it."""


def prepare(api: ReplicateApi, plan: Plan, token: str, record: Record) -> TrainingRequest:
    """Make sure that the destination exists, upload the rows, and return what creates the training.

    Raises:
        AuthError: An input's variable is not set any more.
        DataError: The rows do not fit.
        RejectedError: There is no destination, or Replicate refuses a file.
        UnreachableError: Replicate does not answer.
    """
    _ensure_destination(api, plan)
    with tempfile.TemporaryDirectory(prefix="ftsdk-replicate-") as folder:
        addresses = _upload_rows(api, plan, token, Path(folder), record)
    return TrainingRequest(_body(plan, addresses), addresses[FILE])


def find_job(api: ReplicateApi, plan: Plan, token: str, request: TrainingRequest | None) -> str | None:
    """The training that reads the submission's rows.

    Args:
        api: The service.
        plan: Its facts have the address of the rows, unless the record is lost.
        token: Marks the uploaded file; it decides where nobody has kept the address.
        request: What was sent, where it has just been sent.
    """
    if request is not None:
        return _with_address(api, plan, request.rows_address)
    return _with_token(api, plan, token) if plan.facts is None else _with_address(api, plan, plan.facts[ROWS])


def _ensure_destination(api: ReplicateApi, plan: Plan) -> None:
    """Check that the destination exists, before anything is uploaded; create it where the user asks for that."""
    owner, name = plan.native["create"]["destination"].split("/")
    action, path = "describe the destination", f"/v1/models/{owner}/{name}"
    if api.get_or_none(path, action) is not None:
        return
    settings = plan.native["create_destination"]
    if settings is None:
        raise RejectedError(
            f"the destination {owner}/{name} does not exist, or is not yours",
            hint="create it at replicate.com/create, or set backend_options.replicate.create_destination",
        )
    try:
        with ERROR_MAPPER.translate_errors("create the destination"):
            api.create_model(owner, name, settings["hardware"])
    except (RejectedError, UnreachableError):
        if api.get_or_none(path, action) is None:  # it may exist by now: by somebody else, or with a lost answer
            raise


def _upload_rows(api: ReplicateApi, plan: Plan, token: str, folder: Path, record: Record) -> dict[str, str]:
    """The addresses of the rows, by the placeholders that stand for them."""
    rows, rows_url = plan.native["rows"], plan.native["rows_url"]
    if rows_url:
        # A fragment (behind "#") is never sent to the host; here it makes this training's input unique.
        address = f"{rows_url}#{_MARK}={token}"
        record(**{ROWS: address})
        return {FILE: address}
    files = write_files(plan, folder)
    addresses = {}
    for placeholder, name, fact in (
        (HELD_OUT_FILE, rows["held_out_input"], "held_out_rows"),
        (FILE, rows["input"], ROWS),
    ):
        if name is not None:
            addresses[placeholder] = _upload(api, files[name], name, token)
            record(**{fact: addresses[placeholder], f"{fact}_sha256": files[name].sha256})
    return addresses


def _upload(api: ReplicateApi, rows_file: RowsFile, name: str, token: str) -> str:
    """Upload a file, and return its address."""
    # Again in each attempt: an address is valid for a day, and an earlier upload may be gone when the trainer reads it.
    file = api.upload(rows_file.path, f"ftsdk-{name}-{token}.jsonl", {_MARK: token})
    checksums = file.get("checksums")
    checksum = checksums.get("sha256") if isinstance(checksums, Mapping) else None
    if checksum not in (None, rows_file.sha256) or file.get("size") not in (None, rows_file.size):
        raise RejectedError("Replicate has other bytes than were sent", hint="submit again")
    return _address(file)


def _address(file: Json) -> str:
    """The address that the service's own clients put into an input."""
    urls = file.get("urls")
    address = urls.get("get") if isinstance(urls, Mapping) else None
    if not isinstance(address, str) or not address:
        raise RejectedError("Replicate stored the file and returned no address for it", hint="submit again")
    return address


def _body(plan: Plan, addresses: Mapping[str, str]) -> dict[str, Any]:
    create = plan.native["create"]
    variables = plan.native["secrets"]
    inputs = {
        name: _secret(variables[name]) if value == SECRET else addresses.get(value, value) if _is_text(value) else value
        for name, value in create["input"].items()
    }
    return {**create, "input": inputs}


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _secret(variable: str) -> str:
    value = os.environ.get(variable)
    if not value:
        raise AuthError(f"{variable} is not set any more", hint=f"export {variable}=..., then submit again")
    return value


def _with_address(api: ReplicateApi, plan: Plan, address: str) -> str | None:
    """The training of this version that reads these rows."""
    return next(_trainings_on(api, plan, {address}), None)


def _with_token(api: ReplicateApi, plan: Plan, token: str) -> str | None:
    """The training whose rows have the token in their metadata; for a lost record, which had the address."""
    marked = (file for file in api.files() if isinstance(file.get("metadata"), Mapping))
    addresses = {_address(file) for file in marked if file["metadata"].get(_MARK) == token}
    rows_url = plan.native["rows_url"]
    addresses |= {f"{rows_url}#{_MARK}={token}"} if rows_url else set()
    return next(_trainings_on(api, plan, addresses), None)


def _trainings_on(api: ReplicateApi, plan: Plan, addresses: set[str]) -> Iterator[str]:
    name = plan.native["rows"]["input"]
    for training in api.trainings() if addresses else ():
        inputs = training.get("input")
        if isinstance(inputs, Mapping) and inputs.get(name) in addresses and isinstance(training.get("id"), str):
            yield training["id"]
