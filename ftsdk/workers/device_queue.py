"""One queue for each device: first come, first served, kept by the kernel, so that no crash can jam it.

Each job takes the next ticket ``n`` and locks byte ``n`` of the device's queue file until its process ends. Its turn
has come when no other process holds an earlier byte, so it waits for a lock on all bytes before its own. The kernel
drops the locks of a process that ends, however it ends, and wakes the next one; nothing is polled or cleaned up. A job
only ever waits for earlier tickets, so no two can wait for each other.
"""

import fcntl
import os
from typing import NamedTuple

from ftsdk.home import home

_COUNTER_BYTE = 2**62  # locked while a ticket is taken; no ticket ever gets there
_DIGITS = 20


class Ticket(NamedTuple):
    """A place in the queue, for as long as this process lives."""

    file: int
    """The descriptor of the queue file."""
    number: int
    """Smaller numbers come first."""


def take_ticket(device: str) -> Ticket:
    """Take the last place in a device's queue.

    Raises:
        ConfigError: The state folder cannot be used.
        OSError: The queue file cannot be written or locked.
    """
    folder = home() / "devices"
    folder.mkdir(mode=0o700, exist_ok=True)
    # Opened once and never closed: POSIX drops all locks of a process when it closes any descriptor of the file.
    file = os.open(folder / f"{device}.queue", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.lockf(file, fcntl.LOCK_EX, 1, _COUNTER_BYTE)
    # The byte is locked before the counter moves on and others may take a ticket. If the process dies between the two,
    # the next job finds the number free again.
    number = _lock_first_free(file, _next_number(file))
    os.pwrite(file, f"{number + 1:0{_DIGITS}}".encode(), 0)
    fcntl.lockf(file, fcntl.LOCK_UN, 1, _COUNTER_BYTE)
    return Ticket(file, number)


def wait_for_turn(ticket: Ticket) -> None:
    """Wait until all earlier jobs have ended. From then on this process has the device, until it ends."""
    if ticket.number > 0:  # to lockf, a length of 0 means all bytes
        # shared is enough: jobs that have not ended hold their own bytes exclusively
        fcntl.lockf(ticket.file, fcntl.LOCK_SH, ticket.number, 0)


def _next_number(file: int) -> int:
    text = os.pread(file, _DIGITS, 0)
    return int(text) if text.isdigit() else 0


def _lock_first_free(file: int, number: int) -> int:
    """Lock the first free byte from ``number`` on, and return its number."""
    # A number behind the counter is held only where the counter was set back: after a power cut, or by hand.
    while True:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
        except BlockingIOError:
            number += 1
        else:
            return number
