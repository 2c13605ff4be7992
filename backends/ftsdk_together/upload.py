"""Upload rows to Together: written in its formats, and checked by it."""

import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ftsdk.backend import Plan, Record
from ftsdk.data.report import check_unchanged
from ftsdk.data.split import Read, split_rows
from ftsdk.errors import RejectedError, UnreachableError
from ftsdk.job_types import Reason
from ftsdk.redact import redact
from ftsdk.remote.retries import poll
from ftsdk.remote.rows import NativeRow, RowsFile, write_rows
from ftsdk_together.api import Json, TogetherApi
from ftsdk_together.native_rows import RowSettings, native_rows

_CHECKED = "COMPLETED"
_BAD = frozenset({"FAILED", "INVALID_FORMAT"})
_UNDER_WAY = frozenset({"QUEUED", "RUNNING"})
_SEPARATORS = ((", ", ": "), (",", ":"))
"""Two ways to write the same rows as JSON; see :func:`_upload_file`."""


class RequestFile(NamedTuple):
    """One file of the request, and the rows that it is made of."""

    name: str
    """Its name in the request: ``training_file`` or ``validation_file``."""
    read: Callable[[], Iterator[NativeRow]]
    """The rows in Together's format, from the first one at each call."""


def upload_rows(api: TogetherApi, plan: Plan, folder: Path, record: Record) -> dict[str, str]:
    """The ids of a plan's files, each uploaded, checked by Together and recorded; an earlier upload is used again.

    Args:
        api: The service.
        plan: Its native request has the rows; its facts tell what earlier calls have uploaded.
        folder: An empty folder of ours, on a disk with enough space for the rows.
        record: Keeps the ids.

    Raises:
        DataError: Rows are missing, were edited since the plan, or are not supported; nothing was uploaded.
        RejectedError: Together refuses a file.
        UnreachableError: Together does not answer, or is still busy with a file.
    """
    check_unchanged(plan.data)
    files = list(_request_files(plan.native["rows"]))
    # All are written before any is uploaded: a bad row of the second must not be found when the first is there.
    written = {file.name: _write(file, folder, _SEPARATORS[0]) for file in files}
    return {file.name: _upload_file(api, file, written[file.name], plan, record) for file in files}


def _request_files(rows: Mapping[str, Any]) -> Iterator[RequestFile]:
    settings = RowSettings(rows["train_on"], rows["tools"], rows["reasoning"])
    for name, read in zip(("training_file", "validation_file"), split_rows(rows), strict=True):
        if read is not None:
            yield RequestFile(name, functools.partial(_read_native, read, settings))


def _read_native(read: Read, settings: RowSettings) -> Iterator[NativeRow]:
    return native_rows(read(), settings)


def _write(file: RequestFile, folder: Path, separators: tuple[str, str]) -> RowsFile:
    """The rows in a file that is named by its content."""
    draft = write_rows(folder / f"{file.name}.draft", file.read(), separators)
    name = f"ftsdk-{file.name.split('_')[0]}-{draft.sha256[:16]}.jsonl"
    return draft._replace(path=draft.path.rename(folder / name))


def _upload_file(api: TogetherApi, file: RequestFile, written: RowsFile, plan: Plan, record: Record) -> str:
    facts, seconds = plan.facts or {}, plan.native["processing_seconds"]
    if facts.get(f"{file.name}_sha256") == written.sha256:
        return _wait_until_checked(api, facts[file.name], written, seconds)
    # Together stores the same bytes once, and answers with the id of the first upload, whatever became of that. Where
    # it is unusable, the same rows with other separators are other bytes, and so a new file.
    for separators in _SEPARATORS:
        upload = written if separators == _SEPARATORS[0] else _write(file, written.path.parent, separators)
        file_id, is_new = api.upload(upload.path, _progress_recorder(file.name, record))
        if is_new or _is_usable(api, file_id, upload):
            record(**{file.name: file_id, f"{file.name}_sha256": upload.sha256})
            return _wait_until_checked(api, file_id, upload, seconds)
    raise RejectedError(f"Together has these rows already, in a state that cannot be used ({file_id})")


def _progress_recorder(name: str, record: Record) -> Callable[[int, int], None]:
    """Records every tenth of an upload."""
    tenths = 0

    def record_progress(uploaded: int, total: int) -> None:
        nonlocal tenths
        if total and 10 * uploaded // total > tenths:
            tenths = 10 * uploaded // total
            record(**{f"{name}_uploaded": f"{tenths * 10} %"})

    return record_progress


def _is_usable(api: TogetherApi, file_id: str, upload: RowsFile) -> bool:
    """Whether a file that was there before has these bytes, and has been or can be checked."""
    file = api.file(file_id)
    if not _has_same_bytes(file, upload):
        return False
    if _status(file) not in (_CHECKED, *_UNDER_WAY, "INVALID_FORMAT"):  # its check was never begun, or broke off
        try:
            api.post(f"/v1/files/{file_id}/preprocess", "check the file")
        except RejectedError:  # there is nothing to check
            return False
        file = api.file(file_id)
    return _status(file) not in _BAD


def _has_same_bytes(file: Json, upload: RowsFile) -> bool:
    expected = {"bytes": upload.size, "checksum": upload.sha256, "sha256": upload.sha256}
    return all(file.get(name) in (None, value) for name, value in expected.items())


def _wait_until_checked(api: TogetherApi, file_id: str, upload: RowsFile, seconds: float) -> str:
    """The id again, once Together has checked the file.

    A job on an unchecked file may fail when it is already paid for, and its price cannot be estimated.

    Raises:
        RejectedError: The check has failed.
        UnreachableError: It takes longer than ``seconds``.
    """
    for file in poll(lambda: api.file(file_id), api.timing.poll_interval, seconds):
        status = _status(file)
        if status in _BAD:
            raise _refusal(file, status)
        if status == _CHECKED:
            if not _has_same_bytes(file, upload):
                raise RejectedError(f"Together has other bytes in {file_id} than were sent")
            return file_id
    raise UnreachableError(f"Together has not checked {file_id} after {seconds:g} seconds", hint="resume the job later")


def _status(file: Json) -> str:
    """In capitals. Old files have none, and say only whether they are processed (``Processed``)."""
    is_processed = file.get("Processed") is True
    return str(file.get("processing_status") or (_CHECKED if is_processed else "")).upper()


def _refusal(file: Json, status: str) -> RejectedError:
    report = file.get("validation_report")
    message = report.get("error") if isinstance(report, dict) else None
    return RejectedError(
        f"Together cannot use the rows ({status}){f': {redact(str(message))[:400]}' if message else ''}",
        reason=Reason.DATA_ERROR.value if status == "INVALID_FORMAT" else Reason.PROVIDER_ERROR.value,
        hint="fix the rows that it names, then submit again" if message else "submit again",
    )
