"""Which process works on a job: one worker at a time, known by its identity, from the moment that it is started.

Two locks of the kernel leave no gap in which a job could look dead or be started twice:

- the launch lock (flock) is taken by the starter and inherited by the worker, which releases it once its identity is in
  ``worker.json``; flock, because a child inherits it;
- the run lock (POSIX) is held by the worker until it ends; POSIX, because children do not inherit it: processes that a
  killed worker leaves behind must not keep the job locked.

They are always taken in this order, so no two processes can wait for each other.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from ftsdk.files import write_atomic
from ftsdk.job_folder import JobFolder
from ftsdk.process_identity import ProcessIdentity, boot_id, current_process, is_alive
from ftsdk.spec import Section
from ftsdk.workers.process import reap

LINGER_SECONDS = 30
"""Time for trackers to send their last values after a worker's report; after it, the kernel ends the process."""
_POLL_SECONDS = 0.05
_VMSTAT = Path("/proc/vmstat")


class Attempt(Section):
    """One worker's attempt at a job: the content of ``worker.json``."""

    number: int
    """1 for the first."""
    pid: int
    """The worker's process, and its process group."""
    started: float
    """When it started, in seconds since 1970."""
    boot_id: str
    """Identifies the time between two starts of the machine."""
    oom_kills: int
    """Processes that the system had killed for lack of memory, when the worker started."""

    @property
    def identity(self) -> ProcessIdentity:
        """The worker's process."""
        # A pid alone does not identify it: the kernel gives the number to another process later, or after a restart.
        # The start time distinguishes processes of one boot, and the boot id distinguishes boots.
        return ProcessIdentity(self.pid, self.started, self.boot_id)

    @property
    def before_restart(self) -> bool:
        """Whether the machine has been restarted since."""
        return self.boot_id != boot_id()

    @property
    def likely_out_of_memory(self) -> bool:
        """Whether the system has killed any process for lack of memory since."""
        # The kernel counts kills of the whole machine and names no process, so this is likely, not certain.
        return not self.before_restart and oom_kills() > self.oom_kills


def latest_attempt(folder: JobFolder) -> Attempt | None:
    """The last worker that wrote ``worker.json``."""
    try:
        return Attempt.model_validate_json(folder.worker.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def record_attempt(folder: JobFolder) -> Attempt:
    """Record this process as the job's worker. It must hold the run lock."""
    last = latest_attempt(folder)
    attempt = Attempt(number=last.number + 1 if last else 1, **current_process()._asdict(), oom_kills=oom_kills())
    write_atomic(folder.worker, attempt.model_dump_json(indent=2) + "\n")
    return attempt


def hold_run_lock(folder: JobFolder) -> bool:
    """Become the job's only worker until this process ends; False where another process is."""
    file = os.open(folder.run_lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return False
    # The descriptor stays open on purpose: POSIX drops a process's locks when it closes any descriptor of the file.
    return True


def wait_until_ended(attempt: Attempt) -> bool:
    """Wait until the process of a worker that has reported its end is gone; False where it does not end in time."""
    # It holds the run lock up to its last moment, so another worker that starts now would find the job taken.
    end = time.monotonic() + LINGER_SECONDS
    while is_alive(attempt.identity):
        if time.monotonic() > end:
            return False
        time.sleep(_POLL_SECONDS)
        reap()
    return True


@contextlib.contextmanager
def hold_launch_lock(folder: JobFolder) -> Iterator[int]:
    """Wait for the lock under which a worker is started; yields the descriptor that the worker must inherit."""
    file = os.open(folder.launch_lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
    finally:
        os.close(file)  # a worker that has inherited the descriptor still holds the lock


def is_launching(folder: JobFolder) -> bool:
    """Whether a worker is being started, or has not recorded itself yet."""
    try:
        file = os.open(folder.launch_lock, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        # shared, so that two processes that only look do not take each other for a starter
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def oom_kills() -> int:
    """How many processes the system has killed for lack of memory since it started; 0 where it does not count them."""
    try:
        lines = _VMSTAT.read_text(encoding="ascii").splitlines()
    except OSError:  # not Linux
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
