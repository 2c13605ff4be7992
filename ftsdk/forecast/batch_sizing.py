"""The most tokens, rows or responses that fit into a memory limit, by the forecast's own formula."""

from collections.abc import Callable

from ftsdk.forecast.architecture import Architecture
from ftsdk.forecast.memory import forecast, one_response, row_tokens
from ftsdk.forecast.memory_estimate import MemoryInputs
from ftsdk.forecast.trainer_profile import TrainerProfile
from ftsdk.spec import JobSpec

_LARGEST = 1 << 20


def largest(fits: Callable[[int], bool], most: int = _LARGEST) -> int:
    """The largest number from 1 to ``most`` that fits; 0 if none does.

    By bisection: if a number fits, all smaller ones must fit, too.
    """
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def responses_that_fit(spec: JobSpec, architecture: Architecture, trainer: TrainerProfile, *, limit: int) -> int:
    """The most responses that can be sampled at a time below ``limit`` bytes; at least 1."""
    need = forecast(spec, architecture, trainer, tokens=1)
    # While responses are sampled, nothing of a training step is in memory: weights and optimizer states remain.
    return max((limit - (need.allocated - need.step)) // one_response(spec, architecture, trainer), 1)


def tokens_that_fit(spec: JobSpec, architecture: Architecture, trainer: TrainerProfile, *, limit: int) -> int:
    """The most tokens of one micro-batch that stay below ``limit`` bytes; 0 if not even one does.

    Sampling does not count here: :func:`responses_that_fit` limits the responses that are sampled at a time.
    """

    def fits(tokens: int) -> bool:
        need = forecast(spec, architecture, trainer, tokens=tokens)
        return need.allocated - need.step + need.activations + max(need.layer, need.logits) <= limit - need.overhead

    return largest(fits)


def rows_that_fit(spec: JobSpec, inputs: MemoryInputs, *, limit: int) -> int:
    """The largest micro-batch, in rows of the spec's length; 0 if not even one row fits."""
    most = _LARGEST // row_tokens(spec)
    return largest(lambda rows: inputs.replace(rows=rows).forecast(spec).total <= limit, max(most, 1))


def length_that_fits(spec: JobSpec, inputs: MemoryInputs, *, limit: int) -> int:
    """The largest ``training.max_length`` for the micro-batch of ``inputs``; 0 if none fits."""
    return largest(lambda length: inputs.forecast(with_length(spec, length)).total <= limit)


def with_length(spec: JobSpec, length: int) -> JobSpec:
    """The same job with another longest sequence."""
    return spec.model_copy(update={"training": spec.training.model_copy(update={"max_length": length})})
