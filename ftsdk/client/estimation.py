"""What a job needs on a card, and how it would fit: from the model's configuration alone, before there are any rows."""

from typing import Any

from ftsdk.client import planning
from ftsdk.client.planning import SpecLike
from ftsdk.errors import Problem, SpecError
from ftsdk.forecast import Change, MemoryForecast, MemoryInputs, changes_that_fit, length_that_fits, rows_that_fit
from ftsdk.spec import Compute, JobSpec, Section

CARD = "24GiB"
_SIZE = "a number with its unit, such as 24GiB"
_SMALLEST = 2**20  # bytes; whoever gives less has left out the unit


class Estimate(Section):
    """A job's memory on one card."""

    backend: str
    """Whose way of computing was reckoned with."""
    model: str
    """The base model."""
    weights: int
    """How many the base model has."""
    memory: MemoryForecast
    """Bytes at the peak, part by part, with so many ``rows`` at a time."""
    rows: int
    """The micro-batch."""
    limit: int
    """Bytes of the card."""
    largest_micro_batch: int
    """The most rows of the spec's length that fit at a time; 0: not even one."""
    largest_length: int
    """The longest ``training.max_length`` that fits at one row at a time, within the model's positions; 0: none."""
    changes: tuple[Change, ...] = ()
    """Where it does not fit: each change that is enough by itself, the gentlest first, or else the fewest together."""

    @property
    def total(self) -> int:
        """Bytes at the peak."""
        return self.memory.total

    @property
    def fits(self) -> bool:
        """Whether it stays within the card."""
        return self.total <= self.limit

    def __str__(self) -> str:
        verdict = "fits" if self.fits else "does not fit"
        lines = [f"{_gib(self.total)} at the peak: {verdict} in {_gib(self.limit)} ({self.backend}, forecast)"]
        lines += [f"  {part}: {_gib(count)}" for part, count in self.memory.model_dump().items() if count]
        lines.append(f"  largest micro-batch {self.largest_micro_batch}, largest length {self.largest_length}")
        lines += [f"  fits with {change}: {_gib(change.memory.total)}" for change in self.changes]
        return "\n".join(lines)


def estimate(spec: SpecLike, memory: str | int | None = None, *, backend: str | None = None) -> Estimate:
    """Forecast a job's memory on one NVIDIA card, whatever this machine has; no rows are read, no weights loaded.

    Args:
        spec: A spec, its fields, or the file that it is in.
        memory: Of the card, such as ``"24GiB"`` or in bytes. None: ``compute.memory_limit``, or else 24 GiB.
        backend: As for :func:`ftsdk.plan`.

    Raises:
        SpecError: The spec is wrong, or its memory cannot be forecast; with the reason.
        BackendError: The backend is not there, or not usable.
    """
    wanted = planning.read_spec(spec)
    limit = _bytes_of(memory, wanted)
    plan = planning.request(_without_machine(wanted), backend=backend)
    if plan.basis is None:
        why = plan.not_forecast or f"{plan.backend} trains in a way, or on a machine, that is not known here"
        hint = "give a model's folder, or one that the Hub can be asked for; ftsdk estimate counts by backend=local"
        raise SpecError("the memory cannot be forecast", problems=[Problem("model", why)], hint=hint)
    basis = _on_a_card(plan.basis, wanted)
    return Estimate(
        backend=plan.backend,
        model=wanted.model,
        weights=basis.architecture.weights,
        memory=basis.forecast(wanted),
        rows=basis.rows,
        limit=limit,
        largest_micro_batch=rows_that_fit(wanted, basis, limit=limit),
        largest_length=_longest(wanted, basis.replace(rows=1), limit),
        changes=changes_that_fit(wanted, basis, limit=limit),
    )


def _bytes_of(memory: str | int | None, spec: JobSpec) -> int:
    """The card's memory in bytes."""
    given = (spec.compute.memory_limit or CARD) if memory is None else memory
    try:
        limit = Compute(memory_limit=given).memory_limit or 0
    except SpecError as error:
        problems = [problem._replace(where="memory", fix=_SIZE) for problem in error.problems]
        raise SpecError("this is no card's memory", problems=problems) from None
    if limit < _SMALLEST:
        problem = Problem("memory", f"{limit} bytes hold no model", _SIZE)
        raise SpecError("this is no card's memory", problems=[problem])
    return limit


def _without_machine(spec: JobSpec) -> JobSpec:
    """The spec without what only a card can do, so that it can be planned where there is none."""
    freed: dict[str, Any] = {"memory_limit": None}
    if spec.compute.attention == "flash_attention_2":
        freed["attention"] = "auto"
    if spec.compute.dtype in ("bfloat16", "float16"):
        freed["dtype"] = "auto"
    return spec.model_copy(update={"compute": spec.compute.model_copy(update=freed)})


def _longest(spec: JobSpec, basis: MemoryInputs, limit: int) -> int:
    """What fits, and the model was made for."""
    fits = length_that_fits(spec, basis, limit=limit)
    return min(fits, basis.architecture.positions or fits)


def _on_a_card(basis: MemoryInputs, spec: JobSpec) -> MemoryInputs:
    """The trainer's way, on an NVIDIA card: in 16 bits by mixed precision unless the spec says otherwise."""
    return basis.replace(cuda=True, autocast=True, width=4 if spec.compute.dtype == "float32" else 2)


def _gib(count: int) -> str:
    return f"{count / 2**30:.2f} GiB"
