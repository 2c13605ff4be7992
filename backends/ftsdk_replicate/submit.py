"""Make exactly one training for a token.

The address of the uploaded rows is unique to a submission, so the list of trainings tells by it whether a creation was
heard. A creation is sent once. Where its answer leaves doubt and the list shows nothing, the job is parked.
"""

import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ftsdk.backend import Plan, Record
from ftsdk.errors import AmbiguousError, AuthError, BackendError, RejectedError, UnreachableError
from ftsdk.kit.http import never_sent, status_code
from ftsdk_replicate.api import Api, Json
from ftsdk_replicate.door import door, translated
from ftsdk_replicate.rows import Local, write_rows
from ftsdk_replicate.translate import FILE, HELD_OUT_FILE, SECRET

CREATED = "training"
CREATION = "creation"
ROWS = "rows"
_SENT = "sent at "
_REFUSED = "refused"
_MARK = "ftsdk"
"""The name of the token among a file's metadata."""

_NO = frozenset({400, 401, 402, 403, 404, 405, 406, 409, 410, 411, 413, 414, 415, 422, 429, 431})
"""Answers that mean: nothing was created. All others leave doubt."""


def submit(api: Api, plan: Plan, token: str, record: Record) -> str:
    """See :meth:`ftsdk.backend.Backend.submit`."""
    if earlier := find(api, plan, token):
        return earlier
    _see_to_destination(api, plan)
    with tempfile.TemporaryDirectory(prefix="ftsdk-replicate-") as folder:
        addresses = _bring(api, plan, token, Path(folder), record)
    body = _body(plan, addresses)
    attempts = 2 if plan.native["on_ambiguous"] == "recreate" else 1
    for _ in range(attempts):
        if training := _create(api, body, plan, addresses[FILE], record):
            record(**{CREATED: training})
            return training
    raise _undecided()


def find(api: Api, plan: Plan, token: str) -> str | None:
    """The training with this token, where there is one, or None where it is certain that there is none.

    Raises:
        AmbiguousError: A creation was sent, and no training shows up, or the list cannot be had.
    """
    facts = plan.facts
    if facts is not None and facts.get(CREATED):
        return facts[CREATED]
    if facts is not None and not facts.get(CREATION, "").startswith(_SENT):
        return None
    try:
        found = _with_address(api, plan, facts[ROWS]) if facts is not None else _with_token(api, plan, token)
    except BackendError as error:  # also where the token is refused now: a training may run and cost
        raise AmbiguousError(f"a creation was sent to Replicate; {error.message}", hint=error.hint) from error
    if found or facts is None or _may_recreate(plan, facts):
        return found
    raise _undecided()


def _see_to_destination(api: Api, plan: Plan) -> None:
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
        with door("create the destination"):
            api.create_model(owner, name, wanted["hardware"])
    except (RejectedError, UnreachableError):
        if api.found(path, doing) is None:  # somebody was faster, or the answer was lost
            raise


def _bring(api: Api, plan: Plan, token: str, folder: Path, record: Record) -> dict[str, str]:
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


def _upload(api: Api, local: Local, name: str, token: str) -> str:
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


def _create(api: Api, body: Mapping[str, Any], plan: Plan, address: str, record: Record) -> str | None:
    """Send one creation, and find out what came of it. None: no answer, and no training within the time to settle."""
    record(**{CREATION: f"{_SENT}{time.time():.3f}"})
    try:
        return api.create_training(plan.native["trainer"], plan.native["version"], body)
    except Exception as error:  # whatever it is, the request may have been read
        if never_sent(error) or status_code(error) in _NO:
            record(**{CREATION: _REFUSED})
            raise translated(error, "create the training", UnreachableError) from error
    return _settled(api, plan, address)


def _settled(api: Api, plan: Plan, address: str) -> str | None:
    """Look for the training until the time is up."""
    end = time.monotonic() + plan.native["settle_seconds"]
    while True:
        try:
            if found := _with_address(api, plan, address):
                return found
        except BackendError:
            pass  # look again
        left = end - time.monotonic()
        if left <= 0:
            return None
        time.sleep(min(api.timing.look, left))


def _with_address(api: Api, plan: Plan, address: str) -> str | None:
    """The training of this version that reads these rows."""
    return next(_that_read(api, plan, {address}), None)


def _with_token(api: Api, plan: Plan, token: str) -> str | None:
    """The training whose rows bear the token: what can be known where nobody kept the address."""
    marked = (file for file in api.files() if isinstance(file.get("metadata"), Mapping))
    addresses = {_address(file) for file in marked if file["metadata"].get(_MARK) == token}
    given = plan.native["rows_url"]
    return next(_that_read(api, plan, addresses | ({f"{given}#{_MARK}={token}"} if given else set())), None)


def _that_read(api: Api, plan: Plan, addresses: set[str]) -> Iterator[str]:
    name = plan.native["rows"]["input"]
    for training in api.trainings() if addresses else ():
        inputs = training.get("input")
        if isinstance(inputs, Mapping) and inputs.get(name) in addresses and isinstance(training.get("id"), str):
            yield training["id"]


def _may_recreate(plan: Plan, facts: Mapping[str, str]) -> bool:
    """Whether the user has asked for a second creation, and the first has had its time to show up."""
    since = time.time() - float(facts[CREATION].removeprefix(_SENT))
    return bool(plan.native["on_ambiguous"] == "recreate" and since > plan.native["settle_seconds"])


def _undecided() -> AmbiguousError:
    return AmbiguousError(
        "a creation was sent to Replicate, no certain answer came, and its list does not show the training (yet)",
        hint="look again later; if replicate.com/trainings shows none, submit a new job",
    )
