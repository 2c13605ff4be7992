"""Who works on a job: one worker at a time, known by its identity, from the moment somebody starts it.

Two locks of the kernel leave no gap in which a job could look dead or be started twice:

- the launch lock (flock) is taken by the starter and inherited by the worker, which lets go of it once its name is in
  ``worker.json``; flock, because it passes to a child;
- the run lock (POSIX) is held by the worker for life; POSIX, because it does not pass to the children that a worker
  leaves behind when it is killed.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from ftsdk.files import write_atomic
from ftsdk.identity import ProcessIdentity, boot_id, is_alive, mine
from ftsdk.job_folder import JobFolder
from ftsdk.spec import Section
from ftsdk.workers.process import reap

LINGER_SECONDS = 30
"""Time for trackers to send their last figures after a worker's report; after it, the kernel ends the process."""
_LOOK_SECONDS = 0.05
_VMSTAT = Path("/proc/vmstat")


class Attempt(Section):
    """One worker's try at a job: what ``worker.json`` holds."""

    number: int
    """1 for the first."""
    pid: int
    """The worker's process, and its process group."""
    started: float
    """When it started, in seconds since 1970."""
    boot_id: str
    """Names the time between two starts of the machine."""
    oom_kills: int
    """Processes that the system had killed for want of memory, when the worker started."""

    @property
    def identity(self) -> ProcessIdentity:
        """The worker's process."""
        return ProcessIdentity(self.pid, self.started, self.boot_id)

    @property
    def before_restart(self) -> bool:
        """Whether the machine has been restarted since."""
        return self.boot_id != boot_id()

    @property
    def likely_out_of_memory(self) -> bool:
        """Whether the system has killed some process for want of memory since."""
        return not self.before_restart and oom_kills() > self.oom_kills


def latest_attempt(folder: JobFolder) -> Attempt | None:
    """The last worker that came as far as to write down its name."""
    try:
        return Attempt.model_validate_json(folder.worker.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def sign(folder: JobFolder) -> Attempt:
    """Write this process down as the job's worker. It must hold the run lock."""
    last = latest_attempt(folder)
    attempt = Attempt(number=last.number + 1 if last else 1, **mine()._asdict(), oom_kills=oom_kills())
    write_atomic(folder.worker, attempt.model_dump_json(indent=2) + "\n")
    return attempt


def hold_run_lock(folder: JobFolder) -> bool:
    """Become the job's one worker until this process ends; False where another process is."""
    file = os.open(folder.run_lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return False
    return True  # closing the file would give up the lock


def gone(attempt: Attempt) -> bool:
    """Wait until a worker that has reported its end is gone: it holds the run lock up to its last moment."""
    end = time.monotonic() + LINGER_SECONDS
    while is_alive(attempt.identity):
        if time.monotonic() > end:
            return False
        time.sleep(_LOOK_SECONDS)
        reap()
    return True


@contextlib.contextmanager
def launching(folder: JobFolder) -> Iterator[int]:
    """Start a worker, alone: waits until nobody else does. Gives the descriptor that the worker must inherit."""
    file = os.open(folder.launch_lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
    finally:
        os.close(file)  # a worker that has inherited it goes on holding the lock


def is_launching(folder: JobFolder) -> bool:
    """Whether a worker is being started, or is on its way to write down its name."""
    try:
        file = os.open(folder.launch_lock, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def oom_kills() -> int:
    """How many processes the system has killed for want of memory since it started; 0 where it does not say."""
    try:
        lines = _VMSTAT.read_text(encoding="ascii").splitlines()
    except OSError:  # not Linux
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
