"""Hear the wish that a job should end, also while the main thread computes or waits."""

import os
import signal
import socket
import threading
from collections.abc import Callable

from ftsdk.workers.outcome import StopReason

_WHY: dict[int, StopReason] = {signal.SIGTERM: "cancel", signal.SIGINT: "cancel", 0: "timeout"}


class Stop:
    """Whether the job was asked to end, and why. The engine looks at it between two steps."""

    def __init__(self) -> None:
        self.reason: StopReason | None = None

    @property
    def requested(self) -> bool:
        """Whether to save a checkpoint and raise ``Stopped(reason)``."""
        return self.reason is not None


class SignalHandler:
    """Turns SIGTERM and the deadline into a wish to stop, and loses patience after the grace time or a second wish.

    Python runs signal handlers between two steps of the main thread, which may be deep in C or wait for a lock. The
    interpreter also writes each signal's number to a socket at once; a thread of its own listens there.

    Args:
        grace_seconds: Time for the engine to save.
        end: Called where there is nothing to save or the patience is over; it does not return.
    """

    def __init__(self, grace_seconds: float, end: Callable[[StopReason], None]) -> None:
        self.stop = Stop()
        self._grace_seconds = grace_seconds
        self._end = end
        self._at_work = False
        self._ear, self._mouth = socket.socketpair()
        self._mouth.setblocking(False)
        self._deadline: threading.Timer | None = None

    def listen(self) -> None:
        """Begin. Only the main thread can."""
        signal.set_wakeup_fd(self._mouth.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _heard_elsewhere)
        os.register_at_fork(after_in_child=_forget)
        threading.Thread(target=self._listen, name="stop", daemon=True).start()

    def ask(self, number: int) -> None:
        """Wish for the end: SIGTERM's number to cancel, 0 as the time is up."""
        self._mouth.send(bytes([number]))

    def begin_work(self, timeout: float | None) -> None:
        """From now on there is something to save, and the time runs (in seconds)."""
        self._at_work = True
        if timeout is not None:
            self._deadline = threading.Timer(timeout, self.ask, [0])
            self._deadline.daemon = True
            self._deadline.start()

    def _listen(self) -> None:
        reason = self._next()
        assert reason is not None
        self.stop.reason = reason
        if self._deadline:
            self._deadline.cancel()
        if self._at_work and self._grace_seconds > 0:
            self._ear.settimeout(self._grace_seconds)
            self._next()
        self._end(reason)

    def _next(self) -> StopReason | None:
        """The next wish; other signals are none. None: the grace time has passed."""
        try:
            while (number := self._ear.recv(1)[0]) not in _WHY:
                continue
        except TimeoutError:
            return None
        return _WHY[number]


def _heard_elsewhere(number: int, frame: object) -> None:
    """Without a handler in Python, the interpreter would not write to the socket."""


def _forget() -> None:
    """A forked child that is asked to end shall end, and not stop its parent."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
