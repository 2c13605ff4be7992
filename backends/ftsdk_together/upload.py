"""Bring rows to Together: written in its shapes, uploaded, and checked by it."""

import functools
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ftsdk.backend import Plan, Record
from ftsdk.data.report import check_unchanged
from ftsdk.data.split import Read, split_rows
from ftsdk.errors import RejectedError, UnreachableError
from ftsdk.files import sha256
from ftsdk.job_types import Reason
from ftsdk.redact import redact
from ftsdk.remote.retries import poll
from ftsdk_together.api import Json, TogetherApi
from ftsdk_together.shapes import Manner, Values, native_rows

_DONE = "COMPLETED"
_BAD = frozenset({"FAILED", "INVALID_FORMAT"})
_UNDER_WAY = frozenset({"QUEUED", "RUNNING"})
_SPACINGS = ((", ", ": "), (",", ":"))
"""Two ways to write the same rows: content that Together holds in a useless state is sent again in the other."""


class Source(NamedTuple):
    """One file of the request, and the rows that it is made of."""

    name: str
    """The request's name for it: ``training_file`` or ``validation_file``."""
    read: Callable[[], Iterator[Values]]


class Local(NamedTuple):
    """A file that is ready to be uploaded."""

    path: Path
    sha256: str
    size: int
    """Bytes."""


def bring(api: TogetherApi, plan: Plan, folder: Path, record: Record) -> dict[str, str]:
    """The ids of the files of a plan, each uploaded, checked by Together and recorded; what is there is not sent again.

    Args:
        api: The service.
        plan: Tells the rows, and what earlier calls recorded.
        folder: An empty folder of ours, on a disk with room for the rows.
        record: Keeps the ids.

    Raises:
        DataError: Rows are missing, were edited behind the plan's back, or do not fit; nothing was uploaded.
        RejectedError: Together refuses a file.
        UnreachableError: Together does not answer, or is still busy with a file.
    """
    check_unchanged(plan.data)
    sources = list(_sources(plan.native["rows"]))
    written = {source.name: _write(source, folder, _SPACINGS[0]) for source in sources}  # all, before any is sent
    return {source.name: _bring_one(api, source, written[source.name], plan, record) for source in sources}


def _sources(told: Mapping[str, Any]) -> Iterator[Source]:
    manner = Manner(told["train_on"], told["tools"], told["reasoning"])
    for name, read in zip(("training_file", "validation_file"), split_rows(told), strict=True):
        if read is not None:
            yield Source(name, functools.partial(_native, read, manner))


def _native(read: Read, manner: Manner) -> Iterator[Values]:
    return native_rows(read(), manner)


def _write(source: Source, folder: Path, spacing: tuple[str, str]) -> Local:
    """One row on each line, in a file that is named by its content."""
    draft = folder / f"{source.name}.draft"
    try:
        with draft.open("w", encoding="utf-8", newline="\n") as file:
            for row in source.read():
                file.write(json.dumps(row, ensure_ascii=False, separators=spacing) + "\n")
        digest = sha256(draft)
        path = draft.rename(folder / f"ftsdk-{source.name.split('_')[0]}-{digest[:16]}.jsonl")
    except OSError as error:
        raise RejectedError(
            f"the rows cannot be written for the upload: {error.strerror}",
            reason=Reason.DISK_FULL.value,
            hint="make room for temporary files, or set TMPDIR to a larger disk",
        ) from error
    return Local(path, digest, path.stat().st_size)


def _bring_one(api: TogetherApi, source: Source, local: Local, plan: Plan, record: Record) -> str:
    facts, patience = plan.facts or {}, plan.native["processing_seconds"]
    if facts.get(f"{source.name}_sha256") == local.sha256:
        return _awaited(api, facts[source.name], local, patience)
    for spacing in _SPACINGS:
        local = local if spacing == _SPACINGS[0] else _write(source, local.path.parent, spacing)
        file_id, is_new = api.upload(local.path, _progress(source.name, record))
        if is_new or _is_usable(api, file_id, local):
            record(**{source.name: file_id, f"{source.name}_sha256": local.sha256})
            return _awaited(api, file_id, local, patience)
    raise RejectedError(f"Together holds these rows already, in a state that cannot be used ({file_id})")


def _progress(name: str, record: Record) -> Callable[[int, int], None]:
    """Keeps each tenth that has been sent."""
    tenths = 0

    def keep(sent: int, total: int) -> None:
        nonlocal tenths
        if total and 10 * sent // total > tenths:
            tenths = 10 * sent // total
            record(**{f"{name}_uploaded": f"{tenths * 10} %"})

    return keep


def _is_usable(api: TogetherApi, file_id: str, local: Local) -> bool:
    """Whether a file that was there before holds these bytes, and has been or can be checked."""
    file = api.file(file_id)
    if not _is_same(file, local):
        return False
    if _status(file) not in (_DONE, *_UNDER_WAY, "INVALID_FORMAT"):  # its check was never begun, or broke off
        try:
            api.post(f"/v1/files/{file_id}/preprocess", "check the file")
        except RejectedError:  # there is nothing to check
            return False
        file = api.file(file_id)
    return _status(file) not in _BAD


def _is_same(file: Json, local: Local) -> bool:
    told = {"bytes": local.size, "checksum": local.sha256, "sha256": local.sha256}
    return all(file.get(name) in (None, value) for name, value in told.items())


def _awaited(api: TogetherApi, file_id: str, local: Local, seconds: float) -> str:
    """The id again, once Together has checked the file: a job on an unchecked one may fail, or cost what nobody knows.

    Raises:
        RejectedError: Together found something wrong.
        UnreachableError: It takes longer than ``seconds``.
    """
    for file in poll(lambda: api.file(file_id), api.timing.poll_interval, seconds):
        status = _status(file)
        if status in _BAD:
            raise _refused(file, status)
        if status == _DONE:
            if not _is_same(file, local):
                raise RejectedError(f"Together holds other bytes in {file_id} than were sent")
            return file_id
    raise UnreachableError(f"Together has not checked {file_id} after {seconds:g} seconds", hint="resume the job later")


def _status(file: Json) -> str:
    """In capitals. Old files have none, and say only whether they are done with (``Processed``)."""
    done = file.get("Processed") is True
    return str(file.get("processing_status") or (_DONE if done else "")).upper()


def _refused(file: Json, status: str) -> RejectedError:
    report = file.get("validation_report")
    why = report.get("error") if isinstance(report, dict) else None
    return RejectedError(
        f"Together cannot use the rows ({status}){f': {redact(str(why))[:400]}' if why else ''}",
        reason=Reason.DATA_ERROR.value if status == "INVALID_FORMAT" else Reason.PROVIDER_ERROR.value,
        hint="mend the rows that it names, then submit again" if why else "submit again",
    )
