"""Read AutoTrain's log: its progress bar, and the values that it prints."""

import ast
import re
from collections import deque

from ftsdk.backend import Plan
from ftsdk.kit.jobs.report import Reporter

_BAR = re.compile(r"(\d+)/(\d+) \[[\d:]+<([\d:?]+)")
_VALUES = re.compile(r"on_log:\d+ - (\{.*\})")
_KNOWN = {"loss", "grad_norm", "learning_rate", "epoch", "train_loss", "train_runtime"}
_TAIL = 200  # lines


class Progress:
    """Hears each line, and tells what it means.

    Args:
        reporter: Is told.
        plan: Says after how many steps AutoTrain logs, and in how many steps a row of the trainer's bar counts.
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
        bar = _BAR.search(line)
        if bar is None:
            self._last.append(line)
            print(line)  # noqa: T201 - the worker's log
        if "Starting to train" in line or "Begin training" in line:
            self._training = True
        if bar and self._training:
            self._reporter.progress(int(bar[1]), int(bar[2]), _seconds(bar[3]))
        if found := _VALUES.search(line):
            self._measure(found[1])

    def _measure(self, text: str) -> None:
        try:
            values = ast.literal_eval(text)
        except (ValueError, SyntaxError):  # nan and inf are no literals
            values = dict(_pairs(text))
        if not isinstance(values, dict):
            return
        if "loss" in values:
            self._logged += self._each
        numbers = {str(name): float(value) for name, value in values.items() if isinstance(value, int | float)}
        self._reporter.metrics(self._logged, {_name(name): value for name, value in numbers.items()})


def _pairs(text: str) -> list[tuple[str, float]]:
    return [(name, float(value)) for name, value in re.findall(r"'([\w/]+)': (-?[\d.e+-]+|-?inf|nan)", text)]


def _name(name: str) -> str:
    return name.replace("/", "_")


def _seconds(clock: str) -> float | None:
    """``1:02:03`` as seconds; None for a question mark."""
    if "?" in clock:
        return None
    seconds = 0
    for part in clock.split(":"):
        seconds = 60 * seconds + int(part)
    return float(seconds)
