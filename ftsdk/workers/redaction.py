"""Mask secrets in the output of a worker and its libraries."""

import io
import sys

from ftsdk.redact import redact


class RedactedStream(io.TextIOWrapper):
    """A text stream to a file descriptor, with secrets masked."""

    def __init__(self, descriptor: int) -> None:
        file = io.FileIO(descriptor, "w", closefd=False)
        super().__init__(io.BufferedWriter(file), encoding="utf-8", errors="backslashreplace", line_buffering=True)

    def write(self, text: str) -> int:
        """Write text; returns the length of the original."""
        super().write(redact(text))
        return len(text)


def redact_streams() -> None:
    """From now on, ``print``, warnings, logging and tracebacks pass through the redactor."""
    sys.stdout = RedactedStream(1)
    sys.stderr = RedactedStream(2)
