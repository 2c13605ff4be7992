"""Receive requests that a job should end, also while the main thread computes or waits."""

import os
import signal
import socket
import threading
from collections.abc import Callable

from ftsdk.workers.outcome import StopReason

_TIMEOUT = 0  # on the socket, in the place of a signal's number
_REASONS: dict[int, StopReason] = {signal.SIGTERM: "cancel", signal.SIGINT: "cancel", _TIMEOUT: "timeout"}


class Stop:
    """Whether the job was asked to end, and why. The engine checks it between two steps."""

    def __init__(self) -> None:
        self.reason: StopReason | None = None

    @property
    def requested(self) -> bool:
        """Whether to save a checkpoint and raise ``Stopped(reason)``."""
        return self.reason is not None


class SignalHandler:
    """Turns SIGTERM and the deadline into a request to stop, and ends the process after the grace time or a second one.

    Args:
        grace_seconds: Time for the engine to save.
        end: Called where there is nothing to save, or the grace time is over; it does not return.
    """

    # Python runs signal handlers in the main thread, between two of its instructions. The main thread may be in C for
    # minutes (a kernel, a compilation, a collective that waits for a lost peer). But the interpreter also writes each
    # signal's number to the wakeup descriptor at once, so a thread that reads it reacts in any case.

    def __init__(self, grace_seconds: float, end: Callable[[StopReason], None]) -> None:
        self.stop = Stop()
        self._grace_seconds = grace_seconds
        self._end = end
        self._working = False
        self._receiver, self._sender = socket.socketpair()
        self._sender.setblocking(False)  # set_wakeup_fd asks for it: a full socket must not block a signal handler
        self._deadline: threading.Timer | None = None

    def listen(self) -> None:
        """Start. Only the main thread can."""
        signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _ignore)
        os.register_at_fork(after_in_child=_restore_defaults)
        threading.Thread(target=self._listen, name="stop", daemon=True).start()

    def request(self, number: int) -> None:
        """Request the end: SIGTERM's number to cancel, 0 as the time is up."""
        self._sender.send(bytes([number]))

    def begin_work(self, timeout: float | None) -> None:
        """From now on there is something to save, and the deadline (in seconds) runs."""
        self._working = True
        if timeout is not None:
            self._deadline = threading.Timer(timeout, self.request, [_TIMEOUT])
            self._deadline.daemon = True
            self._deadline.start()

    def _listen(self) -> None:
        reason = self._next_request()
        assert reason is not None
        self.stop.reason = reason
        if self._deadline:
            self._deadline.cancel()  # else a deadline during the grace time would count as the second request
        if self._working and self._grace_seconds > 0:
            self._receiver.settimeout(self._grace_seconds)
            self._next_request()
        self._end(reason)

    def _next_request(self) -> StopReason | None:
        """The next request; other signals are skipped. None: the grace time is over."""
        try:
            while (number := self._receiver.recv(1)[0]) not in _REASONS:
                continue
        except TimeoutError:
            return None
        return _REASONS[number]


def _ignore(number: int, frame: object) -> None:
    """Do nothing; without a handler in Python, the interpreter would not write to the socket."""


def _restore_defaults() -> None:
    # A forked child (of a data loader) shares the socket: a signal that is meant to end the child would stop the job.
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
