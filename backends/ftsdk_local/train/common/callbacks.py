"""Callbacks between steps: write events, stop on request, seal checkpoints."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from transformers import TrainerCallback

from ftsdk.job_types import Reason
from ftsdk.workers.event_writer import EventWriter
from ftsdk.workers.outcome import StopReason, WorkerError
from ftsdk_local.train.common.checkpoint import seal

_UNREPORTED = frozenset({"epoch", "total_flos", "train_loss", "train_runtime", "num_tokens", "eval_num_tokens"})
_UNREPORTED_ENDINGS = ("_runtime", "_per_second")


class StopRequest(Protocol):
    """Whether a stop of the job was requested."""

    @property
    def requested(self) -> bool:
        """True from the request on."""

    @property
    def reason(self) -> StopReason | None:
        """The cause of the request; None until there is one."""


class EventCallback(TrainerCallback):
    """Writes what Trainer logs as events, with tokens per second and the time left.

    Args:
        reporter: Writes the events.
        throughput: Gives tokens processed and seconds spent in training steps so far.
    """

    def __init__(self, reporter: EventWriter, throughput: Callable[[], tuple[int, float]]) -> None:
        self.reporter = reporter
        self.throughput = throughput
        self._last = (0, 0.0)
        self._began = (0, 0.0)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Remember where this attempt began, for the time left."""
        self._began = (state.global_step, time.monotonic())
        self.reporter.progress(state.global_step, state.max_steps, None)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:  # noqa: ARG002
        """Write the progress."""
        steps = state.global_step - self._began[0]
        seconds = (state.max_steps - state.global_step) * (time.monotonic() - self._began[1]) / max(steps, 1)
        self.reporter.progress(state.global_step, state.max_steps, seconds)
        # Trainer logs the mean loss since the last log and does not save the sum. With a log at each checkpoint, a
        # resumed run averages over the same steps as an uninterrupted one.
        control.should_log = control.should_log or control.should_save
        return control

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:  # noqa: ARG002
        """Write Trainer's metrics, and end a run whose loss is not finite."""
        metrics = {name: float(value) for name, value in logs.items() if _is_reported(name, value)}
        if "loss" in metrics:
            metrics |= self._tokens_per_second()
        if metrics:
            self.reporter.metrics(state.global_step, metrics)
        if not all(math.isfinite(metrics.get(name, 0.0)) for name in ("loss", "grad_norm")):
            raise WorkerError(
                Reason.DIVERGED,
                f"the loss or its gradient is not a finite number at step {state.global_step}",
                hint="lower training.learning_rate, or set compute.dtype=float32",
            )

    def _tokens_per_second(self) -> dict[str, float]:
        tokens, seconds = self.throughput()
        (tokens_before, seconds_before), self._last = self._last, (tokens, seconds)
        spent = seconds - seconds_before
        return {"tokens_per_second": (tokens - tokens_before) / spent} if spent > 0 else {}


def _is_reported(name: str, value: Any) -> bool:
    return isinstance(value, int | float) and name not in _UNREPORTED and not name.endswith(_UNREPORTED_ENDINGS)


class StopCallback(TrainerCallback):
    """Saves a checkpoint and ends the training after the step in which a stop was requested."""

    def __init__(self, stop: StopRequest) -> None:
        self.stop = stop

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:  # noqa: ARG002
        """Ask Trainer to save and stop."""
        if self.stop.requested:
            control.should_log = control.should_save = control.should_training_stop = True
        return control


class SealCallback(TrainerCallback):
    """Seals each checkpoint that Trainer wrote; an unsealed one is never resumed from.

    Args:
        reporter: Writes an event for each checkpoint.
        facts: Gives what a resumed run restores or compares.
    """

    def __init__(self, reporter: EventWriter, facts: Callable[[], dict[str, Any]]) -> None:
        self.reporter = reporter
        self.facts = facts

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Hash and seal."""
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        seal(folder, self.facts())
        self.reporter.checkpoint(state.global_step, folder.name)
