"""Read AutoTrain's log: its progress bar, and the values that it prints."""

from collections import deque

from ftsdk.backend import Plan
from ftsdk.kit.jobs.report import Reporter
from ftsdk.kit.trainlog import bar_in, values_in

_TAIL = 200  # lines
_BEGINS = "Starting to train"
_LOGS = ":on_log:"


class Progress:
    """Hears each line, and tells what it means.

    Args:
        reporter: Is told.
        plan: Says after how many steps AutoTrain logs.
    """

    def __init__(self, reporter: Reporter, plan: Plan) -> None:
        self._reporter = reporter
        self._each = int(plan.native["config"]["params"]["logging_steps"])
        self._logged = 0
        self._training = False
        self._last: deque[str] = deque(maxlen=_TAIL)

    @property
    def tail(self) -> list[str]:
        """The last lines."""
        return list(self._last)

    def hear(self, line: str) -> None:
        """Take one line in."""
        bar = bar_in(line)
        if bar is None:
            self._last.append(line)
            print(line)  # noqa: T201 - the worker's log
        self._training = self._training or _BEGINS in line
        if bar and self._training:
            self._reporter.progress(bar.step, bar.total, bar.left)
        if _LOGS in line and (values := values_in(line)):  # the progress bar prints them once more
            self._logged += self._each if "loss" in values else 0
            self._reporter.metrics(self._logged, values)
