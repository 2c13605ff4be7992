"""Record a training from inside an engine: what Trainer does, as lines of ``record.jsonl``, the same for every engine.

It also hears the wish to stop (SIGTERM): the step is finished, a checkpoint saved, and the training ended. It stands
beside engines in their own Python, and needs nothing of ours.
"""

import json
import math
import signal
import time
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

RECORD = "record.jsonl"
_IGNORED = -100  # a copy of ftsdk.data.encoding.IGNORED: an engine may have a Transformers that lacks what that needs
_SILENT = frozenset({"total_flos", "train_loss", "num_tokens", "eval_num_tokens", "num_input_tokens_seen", "step"})
_SILENT_BEGINNINGS = ("memory/",)
_SILENT_ENDINGS = ("_runtime", "_per_second", "_per_second_per_gpu")


class Recorder(TrainerCallback):
    """Writes one line for the beginning, for each step, for what is logged and for each checkpoint."""

    def __init__(self) -> None:
        self._stop_wanted = False
        self._counter = _Counter()
        self._began = self._seconds = 0.0
        self._told = (0, 0.0)
        self._taught: list[dict[str, int]] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:  # noqa: ARG002
        """Tell what is trained, and listen."""
        signal.signal(signal.SIGTERM, self._hear)
        sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
        _keep_unpacked(model)
        self._counter.watch(model)
        self._began = time.monotonic()
        trainable = sum(size for size, learned in sizes if learned)
        _write(step=state.global_step, total=state.max_steps, trainable=trainable)

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Time the step."""
        self._began = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:  # noqa: ARG002
        """Tell the step; save and end, once it was asked for."""
        now = time.monotonic()
        self._seconds, self._began = self._seconds + now - self._began, now
        self._taught.append(self._counter.take())
        _write(step=state.global_step, total=state.max_steps)
        if self._stop_wanted:
            control.should_log = control.should_save = control.should_training_stop = True
        return control

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ARG002
        """Tell the values; a loss that is no number ends the training."""
        values = {name: float(value) for name, value in (logs or {}).items() if _is_told(name, value)}
        if "loss" in values:
            values |= self._means() | self._tokens_per_second()
        if values.keys() - {"epoch"}:
            _write(step=state.global_step, values=values)
        if not all(math.isfinite(values.get(name, 0.0)) for name in ("loss", "grad_norm")):
            what = f"the loss or its gradient is non-finite at step {state.global_step}"
            raise FloatingPointError(what)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Tell the checkpoint."""
        _write(step=state.global_step, checkpoint=f"checkpoint-{state.global_step}")

    def _hear(self, *_: object) -> None:
        self._stop_wanted = True

    def _means(self) -> dict[str, float]:
        """Of the steps since the last time: what the model was taught with."""
        taught, self._taught = self._taught, []
        return {f"{name}_per_step": sum(step[name] for step in taught) / len(taught) for name in (taught or [{}])[0]}

    def _tokens_per_second(self) -> dict[str, float]:
        (tokens, seconds), self._told = self._told, (self._counter.tokens, self._seconds)
        spent = self._seconds - seconds
        return {"tokens_per_second": (self._counter.tokens - tokens) / spent} if spent > 0 else {}


class _Counter:
    """Counts the tokens that a model is taught with, and those that carry loss, padding left out."""

    def __init__(self) -> None:
        self.tokens = 0
        self._seen: list[Any] = []

    def watch(self, model: Any) -> None:
        """Look at whatever goes into the model while it learns; a reference's reading is none of it."""
        model.register_forward_pre_hook(self._count, with_kwargs=True)

    def take(self) -> dict[str, int]:
        """The tokens, and the labels where there are any, since the last call."""
        seen = [sum(int(part) for part in parts) for parts in zip(*self._seen, strict=True)]
        self._seen = []
        self.tokens += seen[0] if seen else 0
        return dict(zip(("tokens", "labels"), seen, strict=False))

    def _count(self, module: Any, places: tuple[Any, ...], given: dict[str, Any]) -> None:
        ids = given.get("input_ids", places[0] if places else None)  # TRL's ORPO gives them by their place
        mask, labels = given.get("attention_mask"), given.get("labels")
        if ids is None or not module.training or not torch.is_grad_enabled():
            return
        tokens = ids.numel() if mask is None else mask.sum()
        learned = () if labels is None else ((labels[..., 1:] != _IGNORED).sum(),)
        self._seen.append((tokens, *learned))


def _keep_unpacked(model: Any) -> None:
    """On a CPU, bitsandbytes packs 4-bit weights when it evaluates, and then trains on them as if they were not."""
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def _is_told(name: str, value: Any) -> bool:
    silent = name in _SILENT or name.startswith(_SILENT_BEGINNINGS) or name.endswith(_SILENT_ENDINGS)
    return isinstance(value, int | float) and not silent


def _write(**line: Any) -> None:
    with Path(RECORD).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
