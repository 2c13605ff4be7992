"""Create a job's folder, and start, stop and resume its worker."""

import contextlib
import json
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from ftsdk.backend import Plan
from ftsdk.errors import JobNotFound, JobNotReady, RejectedError
from ftsdk.files import sync_folder, write_json
from ftsdk.job_folder import JobFolder, jobs_root
from ftsdk.job_types import JobState, job_id
from ftsdk.workers.attempt import hold_launch_lock, latest_attempt, wait_until_ended
from ftsdk.workers.environment import worker_environment
from ftsdk.workers.outcome import outcome_of
from ftsdk.workers.process import signal_process, start_detached, stop_group
from ftsdk.workers.status import has_started, observe

_ID = re.compile(r"[a-z0-9-]{1,60}")
_ID_LENGTHS = (6, 10, 26)  # of the token's end; the longer ones are for tokens that end alike


def job_folder(backend: str, native_id: str) -> JobFolder:
    """The folder of a job that exists.

    Raises:
        JobNotFound: The backend has none by this id.
    """
    folder = JobFolder(jobs_root() / native_id)
    if not _ID.fullmatch(native_id) or not folder.job.is_file() or folder.ref != f"{backend}:{native_id}":
        raise JobNotFound(f"there is no {backend} job {native_id!r} in {jobs_root()}", hint="ftsdk jobs lists all jobs")
    return folder


def find(token: str, plan: Plan) -> str | None:
    """The id of the job with this token, if its worker was ever started."""
    for folder in _candidates(token, plan):
        if _has_token(folder, token) and has_started(folder):
            return folder.path.name
    return None


def submit(plan: Plan, token: str, worker: Sequence[str]) -> str:
    """Create the job's folder in one step, and start its worker; continue where an earlier call broke off.

    Args:
        plan: The job's plan.
        token: The job's own token.
        worker: The command that runs it; the folder and the descriptor of the launch lock are added.

    Raises:
        OSError: The worker cannot be started.
        RejectedError: The disk is full, or a folder that is not this job has its name.
    """
    with _reject_on_os_error():
        # Under a name that no job has, so that a crash while it is written leaves no half-written job.
        partial = JobFolder(Path(tempfile.mkdtemp(prefix=".new-", dir=jobs_root())))
    try:
        for folder in _candidates(token, plan):
            with _reject_on_os_error():
                _write(partial, plan, token, folder.path.name)
            with hold_launch_lock(partial) as launch:  # before the rename, so that the job never looks abandoned
                if _rename(partial, folder):
                    _start(folder, plan, launch, worker)
                    return folder.path.name
            if _has_token(folder, token):
                # an earlier call created it, and may have died before it started a worker
                _start_if_never_started(folder, plan, worker)
                return folder.path.name
        raise RejectedError(f"{folder.path} exists, and holds another job or none", hint="move it elsewhere")
    finally:
        shutil.rmtree(partial.path, ignore_errors=True)


def cancel(folder: JobFolder) -> None:
    """Ask the job to save and stop; the second time, kill it. Without effect on a job that is done."""
    # The request is written before the worker is looked up, and a worker checks for it after it has recorded itself:
    # whichever comes first, the other sees it. In the other order a worker that starts just now would miss both.
    if observe(folder).state.done:
        return
    repeated = folder.cancel_request.exists()
    folder.cancel_request.touch(mode=0o600)
    attempt = latest_attempt(folder)
    if attempt is None:
        return
    if repeated:
        # the whole group: an engine's children would otherwise go on and hold the device
        stop_group(attempt.identity, grace_seconds=0)
    else:
        # the worker alone: it passes the request on when a checkpoint can be saved
        signal_process(attempt.identity, signal.SIGTERM)


def resume(folder: JobFolder, worker: Sequence[str]) -> None:
    """Start another worker, which continues from the last good checkpoint.

    Raises:
        JobNotReady: The job is not done, or has succeeded, or its last worker does not end.
    """
    with hold_launch_lock(folder) as launch:
        status = observe(folder, launching=False)
        if not status.state.done or status.state is JobState.SUCCEEDED:
            raise JobNotReady(f"{folder.ref} is {status.state.value}: there is nothing to resume")
        attempt = latest_attempt(folder)
        if attempt and not wait_until_ended(attempt):
            raise JobNotReady(f"the last worker of {folder.ref} is still ending", hint="try again")
        if folder.exit.exists():
            folder.exit.replace(folder.past_exit(attempt.number if attempt else 0))
        folder.cancel_request.unlink(missing_ok=True)
        _start(folder, Plan.model_validate_json(folder.plan.read_text(encoding="utf-8")), launch, worker)


def _candidates(token: str, plan: Plan) -> list[JobFolder]:
    return [JobFolder(jobs_root() / job_id(plan.spec.method.type, token, length)) for length in _ID_LENGTHS]


def _has_token(folder: JobFolder, token: str) -> bool:
    return folder.job.is_file() and json.loads(folder.job.read_text(encoding="utf-8"))["token"] == token


def _write(folder: JobFolder, plan: Plan, token: str, name: str) -> None:
    write_json(folder.spec, plan.spec.as_written())
    write_json(folder.plan, plan.model_dump(mode="json", exclude_unset=True))
    write_json(folder.job, {"backend": plan.backend, "id": name, "token": token, "created": time.time()})


@contextlib.contextmanager
def _reject_on_os_error() -> Iterator[None]:
    """Turn an error of the system into a rejection."""
    # Only around steps before the folder has its name: there nothing has been created, so the caller may try again.
    try:
        yield
    except OSError as error:
        outcome = outcome_of(error)
        raise RejectedError(outcome.message, reason=str(outcome.reason), hint=outcome.hint) from error


def _rename(partial: JobFolder, folder: JobFolder) -> bool:
    """Give a folder its name; False where the name is taken."""
    # rename() replaces an empty folder and fails on any other, so two calls at once cannot both succeed.
    try:
        partial.path.rename(folder.path)
    except OSError:
        if folder.path.exists():
            return False
        raise
    sync_folder(folder.path.parent)  # else a power cut could undo the rename of a job that is running
    return True


def _start_if_never_started(folder: JobFolder, plan: Plan, worker: Sequence[str]) -> None:
    with hold_launch_lock(folder) as launch:
        if not folder.log.exists():
            _start(folder, plan, launch, worker)


def _start(folder: JobFolder, plan: Plan, launch: int, worker: Sequence[str]) -> None:
    start_detached(
        [*worker, str(folder.path), str(launch)],
        cwd=folder.path,
        env=worker_environment(plan.spec.report_to),
        log=folder.log,
        keep=[launch],
    )
