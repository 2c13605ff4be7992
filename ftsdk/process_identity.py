"""Identify a process: its number alone does not, because numbers are reused, above all after a restart."""

import functools
import os
from pathlib import Path
from typing import NamedTuple

import psutil

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_SAME_START = 1.5  # seconds; some systems report the time of their start in whole seconds, rounded either way


class ProcessIdentity(NamedTuple):
    """One process: no later process of the machine has the same three values."""

    pid: int
    started: float
    """Seconds between the start of the machine and that of the process: setting the clock does not move it."""
    boot_id: str
    """Identifies the time between two starts of the machine."""


def current_process() -> ProcessIdentity:
    """The identity of this process."""
    return identity_of(os.getpid())


def identity_of(pid: int) -> ProcessIdentity:
    """The identity of a running process.

    Raises:
        psutil.NoSuchProcess: There is none with this number.
    """
    return ProcessIdentity(pid, _started(psutil.Process(pid)), boot_id())


def is_alive(identity: ProcessIdentity) -> bool:
    """Whether this very process still runs; a zombie, which has ended but was not waited for, counts as dead."""
    # first: after a restart another process may have both the number and, by the clock since boot, the time of start
    if identity.boot_id != boot_id():
        return False
    try:
        process = psutil.Process(identity.pid)
        same = abs(_started(process) - identity.started) < _SAME_START
        return same and process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False


@functools.cache
def boot_id() -> str:
    """What distinguishes the time since the last restart of the machine from the time before."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:  # not Linux
        return str(round(psutil.boot_time()))


def _started(process: psutil.Process) -> float:
    return round(process.create_time() - psutil.boot_time(), 2)
