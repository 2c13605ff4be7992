"""Make exactly one training for a token.

The address of the uploaded rows is unique to a submission, so the list of trainings tells by it whether a creation was
heard. A creation is sent once. Where its answer leaves doubt and the list shows nothing, the job is parked.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ftsdk.backend import Plan, Record
from ftsdk.errors import AuthError, RejectedError, UnreachableError
from ftsdk_replicate.api import Json, ReplicateApi
from ftsdk_replicate.errors import ERROR_MAPPER
from ftsdk_replicate.rows import Local, write_rows
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
    _see_to_destination(api, plan)
    with tempfile.TemporaryDirectory(prefix="ftsdk-replicate-") as folder:
        addresses = _bring(api, plan, token, Path(folder), record)
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


def _see_to_destination(api: ReplicateApi, plan: Plan) -> None:
    """See that the destination is there, before anything is uploaded; create it where the user asks for that."""
    owner, name = plan.native["create"]["destination"].split("/")
    doing, path = "tell about the destination", f"/v1/models/{owner}/{name}"
    if api.found(path, doing) is not None:
        return
    wanted = plan.native["create_destination"]
    if wanted is None:
        raise RejectedError(
            f"the destination {owner}/{name} does not exist, or is not yours",
            hint="create it at replicate.com/create, or set backend_options.replicate.create_destination",
        )
    try:
        with ERROR_MAPPER.translate_errors("create the destination"):
            api.create_model(owner, name, wanted["hardware"])
    except (RejectedError, UnreachableError):
        if api.found(path, doing) is None:  # somebody was faster, or the answer was lost
            raise


def _bring(api: ReplicateApi, plan: Plan, token: str, folder: Path, record: Record) -> dict[str, str]:
    """The addresses of the rows, by the placeholders that stand for them."""
    told, given = plan.native["rows"], plan.native["rows_url"]
    if given:
        # What stands behind "#" is never sent to the host; it tells this training from others on the same rows.
        address = f"{given}#{_MARK}={token}"
        record(**{ROWS: address})
        return {FILE: address}
    written = write_rows(plan, folder)
    addresses = {}
    for placeholder, name, fact in (
        (HELD_OUT_FILE, told["held_out_input"], "held_out_rows"),
        (FILE, told["input"], ROWS),
    ):
        if name is not None:
            addresses[placeholder] = _upload(api, written[name], name, token)
            record(**{fact: addresses[placeholder], f"{fact}_sha256": written[name].sha256})
    return addresses


def _upload(api: ReplicateApi, local: Local, name: str, token: str) -> str:
    """Upload anew each time: an address is good for a day, and what was uploaded before may have gone."""
    file = api.upload(local.path, f"ftsdk-{name}-{token}.jsonl", {_MARK: token})
    sums = file.get("checksums")
    told = sums.get("sha256") if isinstance(sums, Mapping) else None
    if told not in (None, local.sha256) or file.get("size") not in (None, local.size):
        raise RejectedError("Replicate holds other bytes than were sent", hint="submit again")
    return _address(file)


def _address(file: Json) -> str:
    """What the service's own clients put into an input."""
    urls = file.get("urls")
    address = urls.get("get") if isinstance(urls, Mapping) else None
    if not isinstance(address, str) or not address:
        raise RejectedError("Replicate took the file and gave no address for it", hint="submit again")
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
    return next(_that_read(api, plan, {address}), None)


def _with_token(api: ReplicateApi, plan: Plan, token: str) -> str | None:
    """The training whose rows bear the token: what can be known where nobody kept the address."""
    marked = (file for file in api.files() if isinstance(file.get("metadata"), Mapping))
    addresses = {_address(file) for file in marked if file["metadata"].get(_MARK) == token}
    given = plan.native["rows_url"]
    return next(_that_read(api, plan, addresses | ({f"{given}#{_MARK}={token}"} if given else set())), None)


def _that_read(api: ReplicateApi, plan: Plan, addresses: set[str]) -> Iterator[str]:
    name = plan.native["rows"]["input"]
    for training in api.trainings() if addresses else ():
        inputs = training.get("input")
        if isinstance(inputs, Mapping) and inputs.get(name) in addresses and isinstance(training.get("id"), str):
            yield training["id"]
