"""Read LLaMA-Factory's own record of a training, ``trainer_log.jsonl``, and keep the last lines that it prints."""

import json
from collections import deque
from pathlib import Path

from ftsdk.kit.jobs.report import Reporter
from ftsdk.kit.trainlog import bar_in

_TAIL = 200  # lines
_METRICS = {"loss": "loss", "eval_loss": "eval_loss", "lr": "learning_rate", "epoch": "epoch", "reward": "reward"}
"""From LLaMA-Factory's names to those of Transformers."""


class Progress:
    """Hears what is printed, and reads the record as it grows.

    Args:
        reporter: Is told.
        output: LLaMA-Factory's folder.
    """

    def __init__(self, reporter: Reporter, output: Path) -> None:
        self._reporter = reporter
        self._log = output / "trainer_log.jsonl"
        self._place = 0
        self._last: deque[str] = deque(maxlen=_TAIL)
        self._seen: set[str] = set()
        self._output = output

    @property
    def tail(self) -> list[str]:
        """The last lines."""
        return list(self._last)

    def hear(self, line: str) -> None:
        """Take one line in."""
        if bar_in(line) is None:
            self._last.append(line)
            print(line)  # noqa: T201 - the worker's log

    def look(self) -> None:
        """Tell what is new in the record, and among the checkpoints."""
        if not self._log.is_file():
            return
        if self._log.stat().st_size < self._place:  # it was begun anew
            self._place = 0
        with self._log.open("rb") as file:
            file.seek(self._place)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._place += len(line)
                self._tell(json.loads(line))
        for folder in sorted(self._output.glob("checkpoint-*")):
            if folder.name not in self._seen and (folder / "rng_state.pth").is_file():  # written last
                self._seen.add(folder.name)
                self._reporter.checkpoint(int(folder.name.rpartition("-")[2]), folder.name)

    def _tell(self, told: dict[str, float | int | str]) -> None:
        step, total = int(told["current_steps"]), int(told["total_steps"])
        values = {ours: float(told[theirs]) for theirs, ours in _METRICS.items() if theirs in told}
        self._reporter.progress(step, total)
        if values.keys() - {"epoch"}:
            self._reporter.metrics(step, values)
