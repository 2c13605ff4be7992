"""Start processes that outlive this one, and end them together with all processes that they started. POSIX only."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ftsdk.process_identity import ProcessIdentity, identity_of, is_alive

_POLL_SECONDS = 0.02
_KILL_SECONDS = 5.0  # a killed process that is still there after this hangs in the kernel; waiting on would not help
_children: set[int] = set()  # started here and not reaped yet


def start_detached(
    argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], log: Path, keep: Sequence[int] = ()
) -> ProcessIdentity:
    """Start a process in a session of its own: neither our end, nor Ctrl-C, nor a closed terminal ends it.

    Args:
        argv: The program and its arguments. Any user of the machine can read them, so they hold no secrets.
        cwd: Its working folder.
        env: Its complete environment.
        log: The file that its output is appended to, readable by the user alone.
        keep: File descriptors that it inherits, under the same numbers; no others.

    Raises:
        OSError: It cannot be started.
    """
    reap()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        process = subprocess.Popen(
            argv,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=keep,
        )
    finally:
        os.close(output)
    _children.add(process.pid)
    # Popen warns when it is deleted while its process runs; with a return code it takes the process for ended. `reap`
    # waits for it instead.
    process.returncode = 0
    return identity_of(process.pid)


def reap() -> None:
    """Collect children that have ended."""
    # A zombie would look alive to a check of its pid, for as long as this process lives. Only our own children are
    # waited for: waitpid(-1) would take the exit status from other code in this process.
    for pid in tuple(_children):
        try:
            ended, _ = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:  # this process is a fork of the parent, or other code has waited for it
            ended = pid
        if ended:
            _children.discard(pid)


def signal_process(identity: ProcessIdentity, number: signal.Signals) -> None:
    """Send a signal to exactly this process; none if it has ended, even where its number is in use again."""
    if is_alive(identity):
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.kill(identity.pid, number)


def stop_group(identity: ProcessIdentity, grace_seconds: float) -> None:
    """End a process that leads its group, and the group with it: SIGTERM, the grace time, then SIGKILL.

    Without effect where the process has ended, even where its number is in use again.
    """
    # The identity is checked once. That is enough: the kernel gives a group's number to no new process while any member
    # lives, so the group that gets SIGKILL is the one that got SIGTERM.
    if not is_alive(identity):
        return
    if grace_seconds > 0:
        _signal_group(identity.pid, signal.SIGTERM)
    if not _ends_within(identity.pid, grace_seconds):
        _signal_group(identity.pid, signal.SIGKILL)
        _ends_within(identity.pid, _KILL_SECONDS)


def _signal_group(group: int, number: int) -> bool:
    """Whether the group has any process."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS, where only zombies are left
        return False
    return True


def _ends_within(group: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while _signal_group(group, 0):
        reap()  # a zombie is still a member of its group
        if time.monotonic() >= end:
            return False
        time.sleep(_POLL_SECONDS)
    return True
