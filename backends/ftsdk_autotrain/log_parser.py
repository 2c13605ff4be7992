"""Parse AutoTrain's log: its progress bar, and the metrics that it prints."""

from typing import NamedTuple

from ftsdk.workers.log_parser import ProgressBar, parse_metrics, parse_progress_bar

_TRAINING_STARTS = "Starting to train"
_METRICS_LINE = ":on_log:"


class ParsedLine(NamedTuple):
    """What one line reports."""

    bar: ProgressBar | None = None
    """The progress of the training."""
    step: int | None = None
    """The optimizer step of the metrics; None where there are none."""
    metrics: dict[str, float] = {}
    is_bar: bool = False
    """Whether it is a progress bar of any kind, which is no line to keep."""


class AutoTrainLog:
    """Parses the lines of one log in their order.

    Args:
        logging_steps: Optimizer steps between two lines of metrics.
    """

    def __init__(self, logging_steps: int) -> None:
        self._logging_steps = logging_steps
        self._step = 0
        self._training = False

    def parse(self, line: str) -> ParsedLine:
        """What a line reports."""
        bar = parse_progress_bar(line)
        # Bars before this line are those of tokenizing and packing, which count rows.
        self._training = self._training or _TRAINING_STARTS in line
        training_bar = bar if self._training else None
        # Trainer prints the same values a second time, beside its progress bar.
        metrics = parse_metrics(line) if _METRICS_LINE in line else {}
        if not metrics:
            return ParsedLine(training_bar, is_bar=bar is not None)
        # AutoTrain prints no steps. The lines with a loss are counted: the summary at the end has train_loss instead.
        self._step += self._logging_steps if "loss" in metrics else 0
        return ParsedLine(training_bar, self._step, metrics)
