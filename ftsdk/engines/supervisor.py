"""Supervise an engine's process for as long as its worker lives: ``python -I supervisor.py COMMAND...``.

The supervisor leads a process group of its own, which the engine and all processes that it starts belong to. Its
standard input is a pipe from the worker. When the worker ends, however it ends, the kernel closes the pipe, and the
supervisor kills the group, so that no engine goes on computing without a worker.
"""

# A script of its own, with nothing but the standard library: it must start at once, and cannot share its process with
# the worker, which may be killed without a chance to run any code.

import os
import signal
import subprocess
import sys
import threading


def main(command: list[str]) -> int:
    """Run the command to its end, and return its exit status."""
    # SIGTERM goes to the whole group and is meant for the engine: the supervisor must outlive it to pass on its status.
    # A handler instead of SIG_IGN, because a child inherits that a signal is ignored, but no handler.
    signal.signal(signal.SIGTERM, lambda *_: None)
    engine = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    threading.Thread(target=_kill_group_at_end_of_input, daemon=True).start()
    return engine.wait()


def _kill_group_at_end_of_input() -> None:
    while os.read(0, 1):
        continue
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    # Popen gives a killed child's status as minus the signal's number, which no exit status can be.
    sys.exit(abs(main(sys.argv[1:])))
