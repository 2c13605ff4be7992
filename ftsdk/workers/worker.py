"""The process that runs a job: ``python -P -m MODULE FOLDER [LAUNCH]``, where the module defines the work.

It reads and writes the files of the job's folder, and never opens the job records.
"""

# Nothing heavy is imported here, and an engine is imported only when the job's turn on the device has come, so that a
# long queue of waiting workers costs little memory.

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
from ftsdk.workers.attempt import LINGER_SECONDS, hold_run_lock, record_attempt
from ftsdk.workers.device_queue import take_ticket, wait_for_turn
from ftsdk.workers.event_writer import EventWriter
from ftsdk.workers.hardware import device
from ftsdk.workers.options import WorkerOptions
from ftsdk.workers.outcome import SUCCEEDED, Outcome, StopReason, failed, outcome_of, stopped
from ftsdk.workers.redaction import redact_streams
from ftsdk.workers.signal_handler import SignalHandler, Stop

_RESERVE_BYTES = 64 * 1024  # freed at the end, so that the exit report fits on a full disk

Run = Callable[[JobFolder, Plan, EventWriter, Stop], None]


def main(arguments: Sequence[str], run: Run) -> int:
    """Run the job of a folder in this process, which must not be used for anything else.

    Args:
        arguments: The folder, and the descriptor of the launch lock, if this process has inherited it.
        run: Does the work, once it is the job's turn. What it raises is in the table of
            :mod:`ftsdk.workers.outcome`.

    Returns:
        The exit status: 0 unless the job failed.
    """
    folder, launch = JobFolder(Path(arguments[0])), int(arguments[1]) if len(arguments) > 1 else None
    _prepare_process()
    if not hold_run_lock(folder) or folder.exit.exists():
        print("another worker has this job, or has finished it", file=sys.stderr)  # noqa: T201 - stderr is the log
        return 0
    worker = Worker(folder)
    outcome = worker.work(run, launch)
    worker.finish(outcome)
    # Threads of trackers may still upload. SIGALRM has no handler, so the kernel ends the process, whatever hangs.
    signal.alarm(LINGER_SECONDS)
    return int(outcome.state is JobState.FAILED)


class Worker:
    """One attempt at a job, from its record to the exit report."""

    def __init__(self, folder: JobFolder) -> None:
        folder.reserve.write_bytes(bytes(_RESERVE_BYTES))
        self._folder = folder
        self._reporter = EventWriter(folder)
        self._finishing = threading.Lock()

    def work(self, run: Run, launch: int | None) -> Outcome:
        """Queue and run; returns the outcome, and raises nothing."""
        try:
            plan = Plan.model_validate_json(self._folder.plan.read_text(encoding="utf-8"))
            options = _options(plan)
            handler = SignalHandler(options.grace_seconds, self._end_at_once)
            handler.listen()
            self._record(launch)
            # after the record: a request that was made before it went to no process
            if self._folder.cancel_request.exists():
                handler.request(signal.SIGTERM)
            self._queue(options)
            handler.begin_work(plan.spec.compute.timeout)
            self._reporter.state(JobState.RUNNING)
            run(self._folder, plan, self._reporter, handler.stop)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the exit report has it
            self._folder.reserve.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # the log may be on a full disk
                traceback.print_exc()
            return self._unless_preempted(outcome_of(error))
        return SUCCEEDED

    def finish(self, outcome: Outcome) -> None:
        """Write the exit report."""
        # Never released: the main thread and the one that enforces the grace time may both come here. The first
        # decides, and the other waits until the process ends.
        self._finishing.acquire()
        self._folder.reserve.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # a full disk: the exit report below has it, too
            self._reporter.state(outcome.state, outcome.message)
            self._reporter.close()
        measurements = {"step": self._reporter.now.step, "peak_memory": _peak_memory()}
        text = outcome.model_copy(update=measurements).model_dump_json(indent=2)
        write_atomic(self._folder.exit, text + "\n")

    def _record(self, launch: int | None) -> None:
        attempt = record_attempt(self._folder)
        # From here on the run lock and worker.json show that the job is alive; the launch lock is not needed any more.
        if launch is not None:
            os.close(launch)
        self._reporter.state(JobState.QUEUED, f"attempt {attempt.number}")

    def _queue(self, options: WorkerOptions) -> None:
        machine = device(options.device)
        self._reporter.stage(f"waiting for {machine.device}")
        wait_for_turn(take_ticket(machine.device))
        # By default CUDA numbers cards by speed, but nvidia-smi, whose numbers we use, by their place on the bus.
        os.environ.update(CUDA_DEVICE_ORDER="PCI_BUS_ID", CUDA_VISIBLE_DEVICES=machine.visible)
        self._reporter.stage("starting")

    def _unless_preempted(self, outcome: Outcome) -> Outcome:
        """The outcome; a cancellation that no user requested is a preemption."""
        # SIGTERM then comes from the system: it shuts down, or a scheduler takes the machine back.
        if outcome.state is JobState.CANCELLED and not self._folder.cancel_request.exists():
            hint = f"ftsdk resume {self._folder.ref}"
            return failed(Reason.PREEMPTED, "the system asked the worker to end", hint)
        return outcome

    def _end_at_once(self, reason: StopReason) -> None:
        try:
            self.finish(self._unless_preempted(stopped(reason)))
        finally:
            # The grace time is over, so nothing may hold the device any longer; SIGKILL ends this process, too.
            if _leads_its_group():
                os.killpg(0, signal.SIGKILL)
            os._exit(1)


def _options(plan: Plan) -> WorkerOptions:
    """The options of every worker, from the backend's section."""
    section = plan.spec.backend_options.get(plan.backend, {})
    return WorkerOptions.model_validate({name: section[name] for name in WorkerOptions.model_fields if name in section})


def _prepare_process() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold keys and rows
    faulthandler.enable()
    redact_streams()
    atexit.register(_end_children)  # the first to register is the last to be called


def _end_children() -> None:
    """End the processes that this one has started."""
    if _leads_its_group():
        # the signal goes to the whole group, and this process has its exit status still to return
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGTERM)


def _leads_its_group() -> bool:
    """Whether this process leads a group of its own."""
    # Always, if it was started for a job. Run by hand, it shares the group of a shell, which must not be killed.
    return os.getpgrp() == os.getpid()


def _peak_memory() -> int:
    """The largest amount of main memory that this process used, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, Linux kibibytes
    return peak if sys.platform == "darwin" else peak * 1024
