"""Tell a job's reporter what an engine's recorder writes, and keep the last lines that the engine prints."""

import json
from collections import deque
from pathlib import Path
from typing import Any

from ftsdk.workers.event_writer import EventWriter
from ftsdk.workers.log_parser import parse_progress_bar

_TAIL = 200  # lines
_RECORD = "record.jsonl"  # see recorder.py, which cannot be imported without Transformers


class EngineProgress:
    """Hears what is printed, and reads the record of this attempt as it grows.

    Args:
        reporter: Is told.
        desk: The engine's folder.
    """

    def __init__(self, reporter: EventWriter, desk: Path) -> None:
        self._reporter = reporter
        self._record = desk / _RECORD
        self._place = self._record.stat().st_size if self._record.is_file() else 0
        self._last: deque[str] = deque(maxlen=_TAIL)

    @property
    def tail(self) -> list[str]:
        """The last lines."""
        return list(self._last)

    def hear(self, line: str) -> None:
        """Take one line in."""
        if parse_progress_bar(line) is None:
            self._last.append(line)
            print(line)  # noqa: T201 - the worker's log
            self._reporter.log(line)

    def look(self) -> None:
        """Tell what is new in the record."""
        if not self._record.is_file():
            return
        with self._record.open("rb") as file:
            file.seek(self._place)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._place += len(line)
                self._tell(json.loads(line))

    def _tell(self, told: dict[str, Any]) -> None:
        step = told["step"]
        if "total" in told:
            self._reporter.progress(step, told["total"])
        if "values" in told:
            self._reporter.metrics(step, told["values"])
        if "checkpoint" in told:
            self._reporter.checkpoint(step, told["checkpoint"])
