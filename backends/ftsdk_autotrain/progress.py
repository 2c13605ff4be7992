"""Read AutoTrain's log: its progress bar, and the values that it prints."""

from collections import deque
from typing import NamedTuple

from ftsdk.workers.event_writer import EventWriter
from ftsdk.workers.log_parser import ProgressBar, parse_metrics, parse_progress_bar

_TAIL = 200  # lines
_BEGINS = "Starting to train"
_LOGS = ":on_log:"


class Heard(NamedTuple):
    """What one line says."""

    bar: ProgressBar | None = None
    """How far the training is."""
    step: int | None = None
    """The optimizer step that the values belong to."""
    values: dict[str, float] = {}
    is_bar: bool = False
    """Whether it is some progress bar, and no line to keep."""


class AutoTrainLog:
    """Hears the lines in their order.

    Args:
        each: Optimizer steps between two lines of values.
    """

    def __init__(self, each: int) -> None:
        self._each = each
        self._logged = 0
        self._training = False

    def hear(self, line: str) -> Heard:
        """What a line says."""
        bar = parse_progress_bar(line)
        self._training = self._training or _BEGINS in line
        now = bar if self._training else None
        values = parse_metrics(line) if _LOGS in line else {}  # the progress bar prints them once more
        if not values:
            return Heard(now, is_bar=bar is not None)
        self._logged += self._each if "loss" in values else 0
        return Heard(now, self._logged, values)


class Progress:
    """Hears each line, and tells what it means.

    Args:
        reporter: Is told.
        each: Optimizer steps between two lines of values.
    """

    def __init__(self, reporter: EventWriter, each: int) -> None:
        self._reporter = reporter
        self._log = AutoTrainLog(each)
        self._last: deque[str] = deque(maxlen=_TAIL)

    @property
    def tail(self) -> list[str]:
        """The last lines."""
        return list(self._last)

    def hear(self, line: str) -> None:
        """Take one line in."""
        heard = self._log.hear(line)
        if not heard.is_bar:
            self._last.append(line)
            print(line)  # noqa: T201 - the worker's log
            self._reporter.log(line)
        if heard.bar:
            self._reporter.progress(heard.bar.step, heard.bar.total, heard.bar.left)
        if heard.step is not None:
            self._reporter.metrics(heard.step, heard.values)
