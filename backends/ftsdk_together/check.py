"""Check a spec against what Together can do with its model."""

from collections.abc import Iterator

from ftsdk.spec import JobSpec
from ftsdk.translation.ledger import Ledger
from ftsdk_together.limits import Limits, nearest_batches, split_batch
from ftsdk_together.options import TogetherOptions

_OPTIONS = "backend_options.together"

Bound = tuple[str, float, float | None, float | None]
"""A field, its value, its minimum and its maximum; None where there is no such bound."""


def check_limits(ledger: Ledger, options: TogetherOptions, limits: Limits | None) -> None:
    """Refuse every value that is beyond the limits; without limits, only what holds for every model."""
    for field, value, minimum, maximum in _bounds(ledger.spec, options, limits or Limits()):
        if minimum is not None and value < minimum:
            ledger.refuse(field, f"Together takes {minimum:g} at least for this model", f"{minimum:g}")
        if maximum is not None and value > maximum:
            ledger.refuse(field, f"Together takes {maximum:g} at most for this model", f"{maximum:g}")
    _check_early_stopping(ledger, options)
    if limits is not None:
        _check_weights(ledger, limits)
        _check_batch(ledger, limits)


def _bounds(spec: JobSpec, options: TogetherOptions, limits: Limits) -> Iterator[Bound]:
    training, epochs = spec.training, spec.training.num_train_epochs
    longest = limits.max_seq_length_dpo if spec.method.type == "dpo" else limits.max_seq_length_sft
    checkpoints = min(epochs, limits.max_num_checkpoints or epochs)
    yield "training.num_train_epochs", epochs, 1, limits.max_num_epochs
    yield "training.learning_rate", spec.learning_rate, limits.min_learning_rate, limits.max_learning_rate
    yield "training.max_length", training.max_length, limits.min_max_seq_length, longest
    yield f"{_OPTIONS}.n_checkpoints", options.n_checkpoints, 1, checkpoints
    yield f"{_OPTIONS}.n_evals", options.n_evals or 0, 0, limits.max_num_evals
    if spec.adapter is not None:
        yield "adapter.r", spec.adapter.r, 1, limits.lora_training.max_rank


def _check_early_stopping(ledger: Ledger, options: TogetherOptions) -> None:
    """Early stopping needs one evaluation to compare with, those of the warm-up, and those of the patience."""
    spec = ledger.spec
    patience = spec.training.early_stopping_patience
    if patience is None:
        return
    needed = patience + options.early_stopping_warmup_evals + 1
    evals = spec.training.num_train_epochs if options.n_evals is None else options.n_evals
    if evals < needed:
        ledger.refuse(
            "training.early_stopping_patience",
            f"it needs {needed} evaluations, and there are {evals:g}",
            f"set {_OPTIONS}.n_evals={needed}",
        )


def _check_weights(ledger: Ledger, limits: Limits) -> None:
    adapter = ledger.spec.adapter
    if adapter is None:
        if not limits.trains_fully:
            ledger.refuse("adapter", "Together trains this model with LoRA only", "adapter: {r: 16}")
        return
    supported = limits.lora_training.target_modules
    if supported and not isinstance(adapter.target_modules, str):
        unsupported = [name for name in adapter.target_modules if name not in supported]
        if unsupported:
            reason = f"Together does not adapt {', '.join(unsupported)} in this model"
            ledger.refuse("adapter.target_modules", reason, f"all-linear, or some of {', '.join(supported)}")


def _check_batch(ledger: Ledger, limits: Limits) -> None:
    """Check that a step is a legal native batch times an integer; most models have one legal size."""
    spec = ledger.spec
    if spec.adapter is None and not limits.trains_fully:
        return
    batch = spec.training.global_batch_size
    span = limits.batches(lora=spec.adapter is not None).span(spec.method.type)
    if split_batch(batch, span):
        return
    sizes = f"{span[0]}" if span[0] == span[1] else f"{span[0]} to {span[1]}"
    # With Adam, the learning rate goes with the square root of the batch (arXiv 2205.10287).
    advice = [
        f"{size} (with learning_rate={spec.learning_rate * (size / batch) ** 0.5:.2g} it learns about as fast)"
        for size in nearest_batches(batch, span)
    ]
    reason = f"Together's batches for this model have {sizes} sequences, times an integer"
    ledger.refuse("training.global_batch_size", reason, " or ".join(advice))
