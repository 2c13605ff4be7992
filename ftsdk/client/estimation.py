"""The memory that a job needs on a card, and what would make it fit, from the model's configuration alone."""

from typing import Any

from ftsdk.client import planning
from ftsdk.client.planning import SpecLike
from ftsdk.errors import Problem, SpecError
from ftsdk.forecast import Change, MemoryForecast, MemoryInputs, changes_that_fit, length_that_fits, rows_that_fit
from ftsdk.spec import Compute, JobSpec, Section
from ftsdk.units import gib

CARD = "24GiB"
_SIZE = "a number with its unit, such as 24GiB"
_SMALLEST = 2**20
"""Bytes; a smaller number has no unit, such as 24."""


class Estimate(Section):
    """A job's memory on one card."""

    backend: str
    """The backend whose training is forecast."""
    model: str
    """The base model."""
    weights: int
    """The number of the base model's parameters."""
    memory: MemoryForecast
    """Bytes at the peak, part by part, with ``rows`` sequences at a time."""
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
        fits_text = "fits" if self.fits else "does not fit"
        lines = [f"{gib(self.total)} at the peak: {fits_text} in {gib(self.limit)} ({self.backend}, forecast)"]
        lines += [f"  {part}: {gib(count)}" for part, count in self.memory.model_dump().items() if count]
        lines.append(f"  largest micro-batch {self.largest_micro_batch}, largest length {self.largest_length}")
        lines += [f"  fits with {change}: {gib(change.memory.total)}" for change in self.changes]
        return "\n".join(lines)


def estimate(spec: SpecLike, memory: str | int | None = None, *, backend: str | None = None) -> Estimate:
    """Forecast a job's memory on one NVIDIA card, whatever this machine has; no rows are read, no weights loaded.

    Args:
        spec: A spec, its fields, or a file with it.
        memory: Of the card, such as ``"24GiB"`` or in bytes. None: ``compute.memory_limit``, or else 24 GiB.
        backend: As for :func:`ftsdk.plan`.

    Raises:
        SpecError: The spec is wrong, or its memory cannot be forecast; with the reason.
        BackendError: The backend is not installed, or not usable.
    """
    job_spec = planning.read_spec(spec)
    limit = _bytes_of(memory, job_spec)
    plan = planning.request(_without_machine(job_spec), backend=backend)
    if plan.basis is None:
        reason = plan.not_forecast or f"the engine or machine that {plan.backend} uses is not known here"
        hint = "give a model's folder, or a model of the Hub; backend=local counts for this machine's engine"
        raise SpecError("the memory cannot be forecast", problems=[Problem("model", reason)], hint=hint)
    basis = _on_a_card(plan.basis, job_spec)
    return Estimate(
        backend=plan.backend,
        model=job_spec.model,
        weights=basis.architecture.weights,
        memory=basis.forecast(job_spec),
        rows=basis.rows,
        limit=limit,
        largest_micro_batch=rows_that_fit(job_spec, basis, limit=limit),
        largest_length=_longest(job_spec, basis.replace(rows=1), limit),
        changes=changes_that_fit(job_spec, basis, limit=limit),
    )


def _bytes_of(memory: str | int | None, spec: JobSpec) -> int:
    """The card's memory in bytes."""
    size = (spec.compute.memory_limit or CARD) if memory is None else memory
    try:
        limit = Compute(memory_limit=size).memory_limit or 0
    except SpecError as error:
        problems = [problem._replace(where="memory", fix=_SIZE) for problem in error.problems]
        raise SpecError("this is not a card's memory", problems=problems) from None
    if limit < _SMALLEST:
        problem = Problem("memory", f"{limit} bytes cannot hold a model", _SIZE)
        raise SpecError("this is not a card's memory", problems=[problem])
    return limit


def _without_machine(spec: JobSpec) -> JobSpec:
    """The spec without what only a card can do, so that it can be planned where there is none."""
    changes: dict[str, Any] = {"memory_limit": None}
    if spec.compute.attention == "flash_attention_2":
        changes["attention"] = "auto"
    if spec.compute.dtype in ("bfloat16", "float16"):
        changes["dtype"] = "auto"
    return spec.model_copy(update={"compute": spec.compute.model_copy(update=changes)})


def _longest(spec: JobSpec, basis: MemoryInputs, limit: int) -> int:
    """The longest length that fits and that the model has positions for."""
    fits = length_that_fits(spec, basis, limit=limit)
    return min(fits, basis.architecture.positions or fits)


def _on_a_card(basis: MemoryInputs, spec: JobSpec) -> MemoryInputs:
    """The inputs for an NVIDIA card: mixed precision in 16 bits, unless the spec sets float32."""
    return basis.replace(cuda=True, autocast=True, width=4 if spec.compute.dtype == "float32" else 2)
