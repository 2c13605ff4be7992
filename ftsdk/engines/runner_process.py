"""Run a foreign engine inside a worker: read its output, pass on a request to stop, and leave no process behind."""

import codecs
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ftsdk.engines import supervisor
from ftsdk.workers.signal_handler import Stop

_POLL_SECONDS = 0.5
_BREAK = re.compile(r"[\r\n]+")  # progress bars return without a new line
_LONGEST = 20_000  # characters of one line

LineHandler = Callable[[str], None]
"""Is called with each line that the engine prints."""


def run_runner(
    command: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stop: Stop,
    on_line: LineHandler,
    on_poll: Callable[[], None] = lambda: None,
) -> int:
    """Run a command to its end.

    Args:
        command: The program and its arguments.
        cwd: Its working folder.
        env: Its complete environment.
        stop: When it is requested, the engine and all processes that it started get SIGTERM. The worker decides how
            long they may take: it kills them, and itself, when the grace time is over.
        on_line: Called with each line.
        on_poll: Called at least every half second, to read the engine's files; what it raises ends the engine.

    Returns:
        The exit status; that of a killed engine is the number of the signal.

    Raises:
        OSError: It cannot be started.
    """
    process = subprocess.Popen(
        # -I: the supervisor is our Python, and must not import from the engine's folder
        [sys.executable, "-I", str(Path(supervisor.__file__)), *command],
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.PIPE,  # the kernel closes it when the worker dies, and the supervisor then kills the group
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdin is not None
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    # A full pipe would block the engine: a thread of its own empties it, whatever the handlers do meanwhile.
    reader = threading.Thread(target=_read_lines, args=(process, lines), name="runner", daemon=True)
    reader.start()
    try:
        _wait_for_end(process, lines, stop, on_line, on_poll)
    finally:
        # The supervisor may have ended before processes that the engine left behind; they hold the pipe's other end, so
        # without this the reader would never see its end.
        _signal_group(process.pid, signal.SIGKILL)
        process.wait()
        reader.join()
        process.stdin.close()
    while not lines.empty():
        on_line(lines.get())
    on_poll()
    return process.returncode


def _wait_for_end(
    process: "subprocess.Popen[bytes]",
    lines: "queue.SimpleQueue[str]",
    stop: Stop,
    on_line: LineHandler,
    on_poll: Callable[[], None],
) -> None:
    """Call the handlers until the process has ended."""
    terminated = False
    while process.poll() is None:
        with suppress(queue.Empty):
            on_line(lines.get(timeout=_POLL_SECONDS))
        if lines.empty():
            on_poll()
        if stop.requested and not terminated:
            # once only: for many programs a second SIGTERM means to drop everything, a half-written checkpoint too
            terminated = True
            _signal_group(process.pid, signal.SIGTERM)


def _signal_group(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # the group has ended
        os.killpg(group, number)


def _read_lines(process: "subprocess.Popen[bytes]", lines: "queue.SimpleQueue[str]") -> None:
    """Pass lines on as they come; a line without an end is passed on in parts."""
    assert process.stdout is not None
    # incremental, because a read may end in the middle of a character
    decoder, rest = codecs.getincrementaldecoder("utf-8")("replace"), ""
    with process.stdout as out:
        while part := os.read(out.fileno(), 65536):
            *complete, rest = _BREAK.split(rest + decoder.decode(part))
            if len(rest) > _LONGEST:
                complete, rest = [*complete, rest], ""
            for line in filter(str.strip, complete):
                lines.put(line)
    if rest.strip():
        lines.put(rest)
