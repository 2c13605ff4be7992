"""Sit with an engine's process for as long as a worker lives: ``python -I sitter.py COMMAND...``.

The sitter leads a group of its own, which the engine and all that it starts belong to. Its standard input is a pipe
that the worker holds: the pipe breaks when the worker ends, however it ends, and then the group is killed, so that no
engine goes on without anybody who looks. A script of its own, for it must start fast and need nothing.
"""

import os
import signal
import subprocess
import sys
import threading


def main(command: list[str]) -> int:
    """Run the command to its end, and give its exit status; whatever it has left behind is killed."""
    signal.signal(signal.SIGTERM, lambda *_: None)  # it is for the engine; a handler, because it is not inherited
    engine = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    threading.Thread(target=_watch, daemon=True).start()
    return engine.wait()


def _watch() -> None:
    while os.read(0, 1):
        continue
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(abs(main(sys.argv[1:])))
