"""Record a training from inside an engine: what Trainer does, as lines of ``record.jsonl``, the same for every engine.

It also handles a request to stop (SIGTERM): the step is finished, a checkpoint saved, and the training ended. This
module is copied beside engines, into their own Python, and imports nothing of ours.
"""

# Engines' logs differ and change with their versions; Trainer's callbacks are common to all of them, so the record
# comes from there, and logs are only kept.

import json
import math
import signal
import time
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

RECORD = "record.jsonl"
_IGNORED = -100  # a copy of ftsdk.data.row_labels.IGNORED: an engine may have a Transformers that lacks what that needs
_UNREPORTED = frozenset({"total_flos", "train_loss", "num_tokens", "eval_num_tokens", "num_input_tokens_seen", "step"})
_UNREPORTED_PREFIXES = ("memory/",)
_UNREPORTED_SUFFIXES = ("_runtime", "_per_second", "_per_second_per_gpu")


class Recorder(TrainerCallback):
    """Writes one line for the beginning, for each step, for what is logged and for each checkpoint."""

    def __init__(self) -> None:
        self._stop_requested = False
        self._counter = _Counter()
        self._step_start = self._seconds = 0.0
        self._last_report = (0, 0.0)
        self._counts: list[dict[str, int]] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:  # noqa: ARG002
        """Record what is trained, and handle SIGTERM from here on."""
        signal.signal(signal.SIGTERM, self._request_stop)
        sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
        _keep_weights_unpacked(model)
        self._counter.attach(model)
        self._step_start = time.monotonic()
        trainable = sum(size for size, requires_grad in sizes if requires_grad)
        _write(step=state.global_step, total=state.max_steps, trainable=trainable)

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Start the step's clock."""
        self._step_start = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:  # noqa: ARG002
        """Record the step; save and end, once a stop was requested."""
        now = time.monotonic()
        # evaluation and saving come after this, so they do not count as training time
        self._seconds, self._step_start = self._seconds + now - self._step_start, now
        self._counts.append(self._counter.collect())
        _write(step=state.global_step, total=state.max_steps)
        if self._stop_requested:
            control.should_log = control.should_save = control.should_training_stop = True
        return control

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ARG002
        """Record the values; a loss that is not finite ends the training."""
        values = {name: float(value) for name, value in (logs or {}).items() if _is_reported(name, value)}
        if "loss" in values:
            values |= self._means() | self._tokens_per_second()
        if values.keys() - {"epoch"}:
            _write(step=state.global_step, values=values)
        # Trainer would continue with NaN weights to the end.
        if not all(math.isfinite(values.get(name, 0.0)) for name in ("loss", "grad_norm")):
            message = f"the loss or its gradient is non-finite at step {state.global_step}"
            raise FloatingPointError(message)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Record the checkpoint."""
        _write(step=state.global_step, checkpoint=f"checkpoint-{state.global_step}")

    def _request_stop(self, *_: object) -> None:
        self._stop_requested = True

    def _means(self) -> dict[str, float]:
        """Tokens and labels per step, on average since the last call."""
        counts, self._counts = self._counts, []
        return {f"{name}_per_step": sum(step[name] for step in counts) / len(counts) for name in (counts or [{}])[0]}

    def _tokens_per_second(self) -> dict[str, float]:
        (tokens, seconds), self._last_report = self._last_report, (self._counter.tokens, self._seconds)
        elapsed = self._seconds - seconds
        return {"tokens_per_second": (self._counter.tokens - tokens) / elapsed} if elapsed > 0 else {}


class _Counter:
    """Counts the tokens that a model trains on, and those that carry loss, without padding."""

    def __init__(self) -> None:
        self.tokens = 0
        self._batches: list[Any] = []

    def attach(self, model: Any) -> None:
        """Count what goes into the model while it trains."""
        # A hook on the model, because trainers prepare batches in ways of their own. Forward passes of a reference, or
        # to evaluate, have no gradients and are not counted.
        model.register_forward_pre_hook(self._count, with_kwargs=True)

    def collect(self) -> dict[str, int]:
        """The tokens, and the labels where there are any, since the last call."""
        # int() waits for the device, so tensors are summed here, once a step, and not in the hook
        totals = [sum(int(count) for count in counts) for counts in zip(*self._batches, strict=True)]
        self._batches = []
        self.tokens += totals[0] if totals else 0
        return dict(zip(("tokens", "labels"), totals, strict=False))

    def _count(self, module: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        ids = keywords.get("input_ids", arguments[0] if arguments else None)  # TRL's ORPO passes them by position
        mask, labels = keywords.get("attention_mask"), keywords.get("labels")
        if ids is None or not module.training or not torch.is_grad_enabled():
            return
        tokens = ids.numel() if mask is None else mask.sum()
        # the first label has no token before it to be predicted from
        with_loss = () if labels is None else ((labels[..., 1:] != _IGNORED).sum(),)
        self._batches.append((tokens, *with_loss))


def _keep_weights_unpacked(model: Any) -> None:
    # On a CPU with bfloat16 instructions, bitsandbytes repacks 4-bit weights at the first pass without gradients, and
    # they give none from then on. A copy of what ftsdk.modeling.loading does, which an engine's Python cannot import.
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def _is_reported(name: str, value: Any) -> bool:
    unreported = name in _UNREPORTED or name.startswith(_UNREPORTED_PREFIXES) or name.endswith(_UNREPORTED_SUFFIXES)
    return isinstance(value, int | float) and not unreported


def _write(**line: Any) -> None:
    with Path(RECORD).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
