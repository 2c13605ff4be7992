"""The process that does a job: ``python -P -m MODULE FOLDER [LAUNCH]``, where the module says what the work is.

It speaks to the world through the files of the job's folder, and never opens the job records. Nothing heavy is
imported before its turn on the device has come, so that a long queue costs little memory.
"""

import atexit
import contextlib
import faulthandler
import os
import resource
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from ftsdk.backend import Plan
from ftsdk.files import write_atomic
from ftsdk.job_folder import JobFolder
from ftsdk.job_types import JobState, Reason
from ftsdk.workers.attempt import LINGER_SECONDS, hold_run_lock, sign
from ftsdk.workers.device_queue import take_ticket, wait_for_turn
from ftsdk.workers.event_writer import EventWriter
from ftsdk.workers.hardware import device
from ftsdk.workers.options import WorkerOptions
from ftsdk.workers.outcome import SUCCEEDED, Outcome, StopReason, failed, outcome_of, stopped
from ftsdk.workers.redaction import redact_streams
from ftsdk.workers.signal_handler import SignalHandler, Stop

_RESERVE_BYTES = 64 * 1024

Run = Callable[[JobFolder, Plan, EventWriter, Stop], None]


def main(arguments: Sequence[str], run: Run) -> int:
    """Do the job of a folder in this process, which must not be used for anything else.

    Args:
        arguments: The folder, and the descriptor of the launch lock, if a starter holds it for us.
        run: What does the work, once it is the job's turn. What it raises is in the table of
            :mod:`ftsdk.workers.outcome`.

    Returns:
        The exit status: 0 unless the job failed.
    """
    folder, launch = JobFolder(Path(arguments[0])), int(arguments[1]) if len(arguments) > 1 else None
    _prepare_process()
    if not hold_run_lock(folder) or folder.exit.exists():
        print("another worker has this job, or has done it", file=sys.stderr)  # noqa: T201 - stderr is the log
        return 0
    worker = Worker(folder)
    outcome = worker.work(run, launch)
    worker.finish(outcome)
    signal.alarm(LINGER_SECONDS)
    return int(outcome.state is JobState.FAILED)


class Worker:
    """One attempt at a job, from the signature to the exit report."""

    def __init__(self, folder: JobFolder) -> None:
        folder.reserve.write_bytes(bytes(_RESERVE_BYTES))
        self._folder = folder
        self._reporter = EventWriter(folder)
        self._finishing = threading.Lock()

    def work(self, run: Run, launch: int | None) -> Outcome:
        """Queue, run, and say how it ended; raises nothing."""
        try:
            plan = Plan.model_validate_json(self._folder.plan.read_text(encoding="utf-8"))
            options = _options(plan)
            watch = SignalHandler(options.grace_seconds, self._end_at_once)
            watch.listen()
            self._sign(launch)
            if self._folder.cancel_request.exists():
                watch.ask(signal.SIGTERM)
            self._queue(options)
            watch.begin_work(plan.spec.compute.timeout)
            self._reporter.state(JobState.RUNNING)
            run(self._folder, plan, self._reporter, watch.stop)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the exit report tells it
            self._folder.reserve.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # the log may be on a full disk
                traceback.print_exc()
            return self._as_asked(outcome_of(error))
        return SUCCEEDED

    def finish(self, outcome: Outcome) -> None:
        """Write the exit report. The first to finish decides; whoever comes later waits here for the process to end."""
        self._finishing.acquire()
        self._folder.reserve.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # a full disk: the exit report below says it too
            self._reporter.state(outcome.state, outcome.message)
            self._reporter.close()
        figures = {"step": self._reporter.now.step, "peak_memory": _peak_memory()}
        text = outcome.model_copy(update=figures).model_dump_json(indent=2)
        write_atomic(self._folder.exit, text + "\n")

    def _sign(self, launch: int | None) -> None:
        attempt = sign(self._folder)
        if launch is not None:
            os.close(launch)
        self._reporter.state(JobState.QUEUED, f"attempt {attempt.number}")

    def _queue(self, options: WorkerOptions) -> None:
        machine = device(options.device)
        self._reporter.stage(f"waiting for {machine.device}")
        wait_for_turn(take_ticket(machine.device))
        os.environ.update(CUDA_DEVICE_ORDER="PCI_BUS_ID", CUDA_VISIBLE_DEVICES=machine.visible)
        self._reporter.stage("starting")

    def _as_asked(self, outcome: Outcome) -> Outcome:
        """SIGTERM that no user asked for comes from the system: it shuts down, or wants the machine for others."""
        if outcome.state is JobState.CANCELLED and not self._folder.cancel_request.exists():
            hint = f"ftsdk resume {self._folder.ref}"
            return failed(Reason.PREEMPTED, "the system asked the worker to end", hint)
        return outcome

    def _end_at_once(self, reason: StopReason) -> None:
        try:
            self.finish(self._as_asked(stopped(reason)))
        finally:
            if _leads_its_group():
                os.killpg(0, signal.SIGKILL)
            os._exit(1)


def _options(plan: Plan) -> WorkerOptions:
    """Of the backend's section, what every worker heeds."""
    given = plan.spec.backend_options.get(plan.backend, {})
    return WorkerOptions.model_validate({name: given[name] for name in WorkerOptions.model_fields if name in given})


def _prepare_process() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold keys and rows
    faulthandler.enable()
    redact_streams()
    atexit.register(_leave_nobody_behind)  # the first to register is the last to be called


def _leave_nobody_behind() -> None:
    """End the processes that we have started."""
    if _leads_its_group():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGTERM)


def _leads_its_group() -> bool:
    """A starter sees to it; whoever runs a worker by hand shares his own group with it."""
    return os.getpgrp() == os.getpid()


def _peak_memory() -> int:
    """In bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
