"""Run a foreign engine inside a worker: its words are heard, a wish to stop reaches it, and nothing of it is left."""

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

from ftsdk.workers import supervisor
from ftsdk.workers.signal_handler import Stop

_LOOK_SECONDS = 0.5
_BREAK = re.compile(r"[\r\n]+")  # progress bars return without a new line
_LONGEST = 20_000  # characters of one line

Hear = Callable[[str], None]
"""Is told each line that the engine prints."""


def run_runner(
    command: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stop: Stop,
    hear: Hear,
    look: Callable[[], None] = lambda: None,
) -> int:
    """Run a command to its end.

    Args:
        command: The program and its arguments.
        cwd: Its working folder.
        env: Its whole environment.
        stop: When it is requested, the engine and all that it has started are asked to end. How long they may take is
            the worker's to say: it kills them, and itself, when its patience is over.
        hear: Called with each line.
        look: Called now and then, to look at the engine's files; what it raises ends the engine.

    Returns:
        The exit status; that of a killed engine is the number of the signal.

    Raises:
        OSError: It cannot be started.
    """
    process = subprocess.Popen(
        [sys.executable, "-I", str(Path(supervisor.__file__)), *command],
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.PIPE,  # held until the end
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdin is not None
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    listener = threading.Thread(target=_listen, args=(process, lines), name="runner", daemon=True)
    listener.start()
    try:
        _attend(process, lines, stop, hear, look)
    finally:
        _signal_group(process.pid, signal.SIGKILL)  # what it has left behind
        process.wait()
        listener.join()
        process.stdin.close()
    while not lines.empty():
        hear(lines.get())
    look()
    return process.returncode


def _attend(
    process: "subprocess.Popen[bytes]",
    lines: "queue.SimpleQueue[str]",
    stop: Stop,
    hear: Hear,
    look: Callable[[], None],
) -> None:
    """Hear and look until it has ended."""
    asked = False
    while process.poll() is None:
        with suppress(queue.Empty):
            hear(lines.get(timeout=_LOOK_SECONDS))
        if lines.empty():
            look()
        if stop.requested and not asked:
            asked = True
            _signal_group(process.pid, signal.SIGTERM)


def _signal_group(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # nobody is left
        os.killpg(group, number)


def _listen(process: "subprocess.Popen[bytes]", lines: "queue.SimpleQueue[str]") -> None:
    """Pass lines on as they come; a line without an end is passed on in parts."""
    assert process.stdout is not None
    decoder, kept = codecs.getincrementaldecoder("utf-8")("replace"), ""
    with process.stdout as out:
        while part := os.read(out.fileno(), 65536):
            *whole, kept = _BREAK.split(kept + decoder.decode(part))
            if len(kept) > _LONGEST:
                whole, kept = [*whole, kept], ""
            for line in filter(str.strip, whole):
                lines.put(line)
    if kept.strip():
        lines.put(kept)
