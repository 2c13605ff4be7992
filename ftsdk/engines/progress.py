"""Report what an engine's recorder writes as events of the job, and keep the last lines that the engine prints."""

import json
from collections import deque
from pathlib import Path
from typing import Any

from ftsdk.workers.event_writer import EventWriter
from ftsdk.workers.log_parser import parse_progress_bar

_TAIL = 200  # lines
_RECORD = "record.jsonl"  # see recorder.py, which cannot be imported without Transformers


class EngineProgress:
    """Receives what is printed, and reads the record of this attempt as it grows.

    Args:
        reporter: Writes the events.
        engine_folder: The engine's folder.
    """

    def __init__(self, reporter: EventWriter, engine_folder: Path) -> None:
        self._reporter = reporter
        self._record = engine_folder / _RECORD
        # Attempts append to one file; the lines of earlier ones were reported then.
        self._position = self._record.stat().st_size if self._record.is_file() else 0
        self._last_lines: deque[str] = deque(maxlen=_TAIL)

    @property
    def tail(self) -> list[str]:
        """The last lines."""
        return list(self._last_lines)

    def add_line(self, line: str) -> None:
        """Log one line, unless it is a progress bar."""
        if parse_progress_bar(line) is None:
            self._last_lines.append(line)
            print(line)  # noqa: T201 - the worker's log
            self._reporter.log(line)

    def read_record(self) -> None:
        """Report what is new in the record."""
        if not self._record.is_file():
            return
        with self._record.open("rb") as file:
            file.seek(self._position)
            for line in file:
                if not line.endswith(b"\n"):  # is just being written; the next call reads it
                    return
                self._position += len(line)
                self._report(json.loads(line))

    def _report(self, entry: dict[str, Any]) -> None:
        step = entry["step"]
        if "total" in entry:
            self._reporter.progress(step, entry["total"])
        if "values" in entry:
            self._reporter.metrics(step, entry["values"])
        if "checkpoint" in entry:
            self._reporter.checkpoint(step, entry["checkpoint"])
