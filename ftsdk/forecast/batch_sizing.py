"""What fits into so much memory: tokens, rows, responses, found by the forecast's own formula."""

from collections.abc import Callable

from ftsdk.forecast.architecture import Architecture
from ftsdk.forecast.memory import forecast, one_response, row_tokens
from ftsdk.forecast.memory_estimate import MemoryInputs
from ftsdk.forecast.trainer_profile import TrainerProfile
from ftsdk.spec import JobSpec

_MOST = 1 << 20


def largest(fits: Callable[[int], bool], most: int = _MOST) -> int:
    """The largest number from 1 to ``most`` that fits, where whatever is smaller fits, too; 0 where none does."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def responses_that_fit(spec: JobSpec, shape: Architecture, computing: TrainerProfile, *, limit: int) -> int:
    """The most responses that can be sampled at a time below ``limit`` bytes; at least 1."""
    need = forecast(spec, shape, computing, tokens=1)
    return max((limit - (need.allocated - need.step)) // one_response(spec, shape, computing), 1)


def tokens_that_fit(spec: JobSpec, shape: Architecture, computing: TrainerProfile, *, limit: int) -> int:
    """The most tokens of one micro-batch that stay below ``limit`` bytes; 0 where not even one does.

    Sampling is left out: how many responses are sampled at a time is found by :func:`responses_that_fit`.
    """

    def fits(tokens: int) -> bool:
        need = forecast(spec, shape, computing, tokens=tokens)
        return need.allocated - need.step + need.activations + max(need.layer, need.logits) <= limit - need.overhead

    return largest(fits)


def rows_that_fit(spec: JobSpec, basis: MemoryInputs, *, limit: int) -> int:
    """The largest micro-batch, in rows of the spec's length; 0 where not even one row fits."""
    most = _MOST // row_tokens(spec)
    return largest(lambda rows: basis.but(rows=rows).forecast(spec).total <= limit, max(most, 1))


def length_that_fits(spec: JobSpec, basis: MemoryInputs, *, limit: int) -> int:
    """The largest ``training.max_length`` with as many rows at a time as the basis has; 0 where none fits."""
    return largest(lambda length: basis.forecast(with_length(spec, length)).total <= limit)


def with_length(spec: JobSpec, length: int) -> JobSpec:
    """The same job with another longest sequence."""
    return spec.model_copy(update={"training": spec.training.model_copy(update={"max_length": length})})
