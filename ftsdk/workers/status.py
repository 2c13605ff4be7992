"""Read a job's status from its folder alone."""

import time
from pathlib import Path

from ftsdk.job_folder import JobFolder
from ftsdk.job_types import JobState, JobStatus, Reason
from ftsdk.process_identity import is_alive
from ftsdk.workers.attempt import Attempt, is_launching, latest_attempt
from ftsdk.workers.event_writer import BEAT_SECONDS, Heartbeat
from ftsdk.workers.outcome import Outcome, failed
from ftsdk.workers.process import reap

_TAIL_BYTES = 8192


def observe(folder: JobFolder, *, launching: bool | None = None) -> JobStatus:
    """The job's status.

    Args:
        folder: The job's folder.
        launching: Whether its worker is being started. None: check.
    """
    # A worker is launched, records itself, lives, writes its exit report, and is gone. The checks are made in the same
    # order, so that whatever changes meanwhile is seen by a later one; in another order, a job could look lost.
    reap()
    launching = is_launching(folder) if launching is None else launching
    attempt = latest_attempt(folder)
    alive = attempt is not None and is_alive(attempt.identity)
    heartbeat = _heartbeat(folder)
    if outcome := _outcome(folder):
        return _final_status(outcome, heartbeat)
    if alive:
        return _running_status(folder, heartbeat)
    if launching:
        return JobStatus(state=JobState.QUEUED, stage="starting")
    return _final_status(_outcome_of_lost_worker(folder, attempt), heartbeat)


def has_started(folder: JobFolder) -> bool:
    """Whether a worker was ever started; its log is created before it."""
    return folder.log.exists() or is_launching(folder)


def _final_status(outcome: Outcome, heartbeat: Heartbeat) -> JobStatus:
    fields = outcome.model_dump(exclude={"peak_memory", "step"})
    return JobStatus(**fields, **_progress(heartbeat), raw_status=outcome.state.value)


def _running_status(folder: JobFolder, heartbeat: Heartbeat) -> JobStatus:
    # A worker writes its last heartbeat before its exit report; until that is there, the job is not done.
    state = JobState.RUNNING if heartbeat.state.done else heartbeat.state
    return JobStatus(
        state=JobState.CANCELLING if folder.cancel_request.exists() else state,
        stage=heartbeat.stage,
        raw_status=heartbeat.state.value,
        eta_seconds=heartbeat.eta_seconds,
        warnings=_liveness_warnings(heartbeat) if state is JobState.RUNNING else (),
        **_progress(heartbeat),
    )


def _progress(heartbeat: Heartbeat) -> dict[str, object]:
    step, total = heartbeat.step, heartbeat.total_steps
    progress = step / total if step is not None and total else None
    return {"step": step, "total_steps": total, "progress": progress, "metrics": heartbeat.metrics}


def _liveness_warnings(heartbeat: Heartbeat) -> tuple[str, ...]:
    """Signs that a worker hangs."""
    # Only ever shown: a slow disk or a stopped debugger looks the same, and a job must not be killed on a suspicion.
    now = time.monotonic()
    if now - heartbeat.beat > 6 * BEAT_SECONDS:
        return (f"no sign of life for {(now - heartbeat.beat) / 60:.0f} minutes",)
    if now - heartbeat.progressed > heartbeat.patience:
        return (f"no progress for {(now - heartbeat.progressed) / 60:.0f} minutes",)
    return ()


def _outcome_of_lost_worker(folder: JobFolder, attempt: Attempt | None) -> Outcome:
    """The outcome of a worker that ended without an exit report."""
    resume = f"ftsdk resume {folder.ref}"
    if folder.cancel_request.exists():
        return Outcome(state=JobState.CANCELLED, message="ended before it could save a checkpoint")
    if attempt is None:
        suffix = f": {_last_log_line(folder.log)}" if folder.log.exists() else ""
        return failed(Reason.WORKER_LOST, f"its worker did not start{suffix}", resume)
    if attempt.before_restart:
        return failed(Reason.WORKER_LOST, "the machine was restarted", resume)
    if attempt.likely_out_of_memory:
        return failed(
            Reason.OOM,
            "the worker was killed, likely by the system, which has run out of main memory meanwhile",
            f"set compute.quantization or a smaller training.max_length, or free some memory and {resume}",
        )
    line = _last_log_line(folder.log, "Fatal Python error")
    return failed(Reason.WORKER_LOST, "the worker was killed or crashed" + (f": {line}" if line else ""), resume)


def _last_log_line(log: Path, start: str = "") -> str:
    """The last line of the log that starts like this; empty where none does."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        lines = file.read().decode("utf-8", "replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip() and line.startswith(start)), "")


def _heartbeat(folder: JobFolder) -> Heartbeat:
    try:
        return Heartbeat.model_validate_json(folder.heartbeat.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Heartbeat()


def _outcome(folder: JobFolder) -> Outcome | None:
    try:
        return Outcome.model_validate_json(folder.exit.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
