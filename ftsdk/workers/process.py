"""Start processes that outlive us, and end them together with all that they started. POSIX only."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ftsdk.identity import ProcessIdentity, identity_of, is_alive

_LOOK_SECONDS = 0.02
_KILL_SECONDS = 5.0  # a killed process that is still there after this hangs in the kernel; waiting on would not help
_children: set[int] = set()  # started here and not reaped yet


def start_detached(
    argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], log: Path, keep: Sequence[int] = ()
) -> ProcessIdentity:
    """Start a process in a session of its own; neither our end, nor Ctrl-C, nor a closed terminal reaches it.

    Args:
        argv: The program and its arguments; no shell reads them, but every user of the machine can.
        cwd: Its working folder.
        env: Its whole environment.
        log: The file that all it prints is added to, readable by the user alone.
        keep: File descriptors that it inherits, under the same numbers; it gets no others.

    Raises:
        OSError: It cannot be started.
    """
    reap()
    sink = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        process = subprocess.Popen(
            argv,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=keep,
        )
    finally:
        os.close(sink)
    _children.add(process.pid)
    process.returncode = 0  # it is meant to outlive us, so Popen shall not complain; `reap` looks after it
    return identity_of(process.pid)


def reap() -> None:
    """Let go of children that have ended, so that no zombie is left for as long as we live."""
    for pid in tuple(_children):
        try:
            ended, _ = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:  # we are a fork of the parent, or somebody else has waited for it
            ended = pid
        if ended:
            _children.discard(pid)


def signal_process(identity: ProcessIdentity, number: signal.Signals) -> None:
    """Send a signal to this very process; none if it has ended, even where its number is in use again."""
    if is_alive(identity):
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.kill(identity.pid, number)


def stop_group(identity: ProcessIdentity, grace_seconds: float) -> None:
    """End a process that leads its group, and the whole group: TERM, time to obey, then KILL.

    Without effect where the process has ended, even where its number is in use again. A group's number is not given
    to others while any member lives, so the group that is killed is the one that was asked to end.
    """
    if not is_alive(identity):
        return
    if grace_seconds > 0:
        _signal_group(identity.pid, signal.SIGTERM)
    if not _gone_within(identity.pid, grace_seconds):
        _signal_group(identity.pid, signal.SIGKILL)
        _gone_within(identity.pid, _KILL_SECONDS)


def _signal_group(group: int, number: int) -> bool:
    """Whether there was anybody to hear it."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS, where only zombies are left
        return False
    return True


def _gone_within(group: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while _signal_group(group, 0):
        reap()
        if time.monotonic() >= end:
            return False
        time.sleep(_LOOK_SECONDS)
    return True
