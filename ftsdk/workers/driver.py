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
from ftsdk.workers.attempt import gone, latest_attempt, launching
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
        if _holds(folder, token) and has_started(folder):
            return folder.path.name
    return None


def submit(plan: Plan, token: str, worker: Sequence[str]) -> str:
    """Create the job's folder in one step, and start its worker; go on from wherever an earlier call broke off.

    Args:
        plan: What is to be done.
        token: The job's own.
        worker: The program that does it; it is given the folder, and the descriptor of the launch lock.

    Raises:
        OSError: The worker cannot be started.
        RejectedError: The disk is full, or somebody else's folder has the job's name.
    """
    with _or_rejected():
        aside = JobFolder(Path(tempfile.mkdtemp(prefix=".new-", dir=jobs_root())))
    try:
        for folder in _candidates(token, plan):
            with _or_rejected():
                _write(aside, plan, token, folder.path.name)
            with launching(aside) as launch:  # held while the folder takes its name, so that it never looks abandoned
                if _rename(aside, folder):
                    _start(folder, plan, launch, worker)
                    return folder.path.name
            if _holds(folder, token):
                _start_if_never_started(folder, plan, worker)
                return folder.path.name
        raise RejectedError(f"{folder.path} is in the way, and holds no job of ours", hint="move it elsewhere")
    finally:
        shutil.rmtree(aside.path, ignore_errors=True)


def cancel(folder: JobFolder) -> None:
    """Ask the job to save and stop; the second time, kill it. Without effect on a job that is done.

    The request is written before anybody is told, and the worker looks for it after it has signed: whichever comes
    first, the other sees it.
    """
    if observe(folder).state.done:
        return
    again = folder.cancel_request.exists()
    folder.cancel_request.touch(mode=0o600)
    attempt = latest_attempt(folder)
    if attempt is None:
        return
    if again:
        stop_group(attempt.identity, grace_seconds=0)
    else:
        signal_process(attempt.identity, signal.SIGTERM)


def resume(folder: JobFolder, worker: Sequence[str]) -> None:
    """Start another worker, which goes on from the last good checkpoint.

    Raises:
        JobNotReady: The job is not done, or has succeeded, or its last worker will not go.
    """
    with launching(folder) as launch:
        status = observe(folder, launching=False)
        if not status.state.done or status.state is JobState.SUCCEEDED:
            raise JobNotReady(f"{folder.ref} is {status.state.value}: there is nothing to resume")
        attempt = latest_attempt(folder)
        if attempt and not gone(attempt):
            raise JobNotReady(f"the last worker of {folder.ref} is still ending", hint="try again")
        if folder.exit.exists():
            folder.exit.replace(folder.past_exit(attempt.number if attempt else 0))
        folder.cancel_request.unlink(missing_ok=True)
        _start(folder, Plan.model_validate_json(folder.plan.read_text(encoding="utf-8")), launch, worker)


def _candidates(token: str, plan: Plan) -> list[JobFolder]:
    return [JobFolder(jobs_root() / job_id(plan.spec.method.type, token, length)) for length in _ID_LENGTHS]


def _holds(folder: JobFolder, token: str) -> bool:
    return folder.job.is_file() and json.loads(folder.job.read_text(encoding="utf-8"))["token"] == token


def _write(folder: JobFolder, plan: Plan, token: str, name: str) -> None:
    write_json(folder.spec, plan.spec.as_written())
    write_json(folder.plan, plan.model_dump(mode="json", exclude_unset=True))
    write_json(folder.job, {"backend": plan.backend, "id": name, "token": token, "created": time.time()})


@contextlib.contextmanager
def _or_rejected() -> Iterator[None]:
    """Nothing has been created yet, so an error of the system leaves no doubt."""
    try:
        yield
    except OSError as error:
        why = outcome_of(error)
        raise RejectedError(why.message, reason=str(why.reason), hint=why.hint) from error


def _rename(aside: JobFolder, folder: JobFolder) -> bool:
    """Whether the name was free: no folder that holds anything is ever replaced."""
    try:
        aside.path.rename(folder.path)
    except OSError:
        if folder.path.exists():
            return False
        raise
    sync_folder(folder.path.parent)
    return True


def _start_if_never_started(folder: JobFolder, plan: Plan, worker: Sequence[str]) -> None:
    with launching(folder) as launch:
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
