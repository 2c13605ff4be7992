"""The smallest changes that make a job fit, found by trying them through the forecast's own formula."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from ftsdk.forecast.batch_sizing import largest, length_that_fits, rows_that_fit
from ftsdk.forecast.memory import MemoryForecast
from ftsdk.forecast.memory_estimate import MemoryInputs
from ftsdk.spec import JobSpec, LoRA
from ftsdk.spec.base import Section

SHORTEST = 128
"""Tokens; a shorter row would teach little."""
ROUND = 64
"""Tokens that a length is a multiple of."""


class Change(Section):
    """Settings that make the job fit, and what it needs then."""

    settings: Mapping[str, Any]
    """From a field of the spec to its new value."""
    memory: MemoryForecast
    """What the job needs with them."""

    def __str__(self) -> str:
        return ", ".join(f"{field}={value}" for field, value in self.settings.items())


class _Tried(NamedTuple):
    """A job as it would be after some changes."""

    spec: JobSpec
    basis: MemoryInputs

    def set(self, field: str, value: Any) -> "_Tried":
        """The job with one more change."""
        section, name = field.split(".") if "." in field else ("", field)
        if field == "compute.per_device_train_batch_size":
            return _Tried(_but(self.spec, section, name, value), self.basis.but(rows=value))
        if field == "compute.gradient_checkpointing":
            return _Tried(_but(self.spec, section, name, value), self.basis.but(checkpointing=value))
        if field == "adapter":
            return _Tried(self.spec.model_copy(update={"adapter": LoRA()}), self.basis)
        return _Tried(_but(self.spec, section, name, value), self.basis)

    def with_all(self, settings: Mapping[str, Any]) -> "_Tried":
        """The job with several more changes."""
        job = self
        for field, value in settings.items():
            job = job.set(field, value)
        return job

    def fits(self, limit: int) -> bool:
        """Whether it stays below so many bytes."""
        return self.basis.forecast(self.spec).total <= limit


def changes_that_fit(spec: JobSpec, basis: MemoryInputs, *, limit: int) -> tuple[Change, ...]:
    """Each change that is enough by itself, the gentlest first; else the fewest together; none where none helps.

    Args:
        spec: What to train.
        basis: What its forecast was made from.
        limit: Bytes of the device.
    """
    job = _Tried(spec, basis)
    if job.fits(limit):
        return ()
    alone = [_change({field: value}, job.set(field, value)) for field, value in _choices(job, limit)]
    enough = tuple(change for change in alone if change.memory.total <= limit)
    return enough or tuple(_together(job, limit))


def _choices(job: _Tried, limit: int) -> Iterator[tuple[str, Any]]:
    """Fields and values to try, from what leaves the result as it is to what teaches less."""
    for field, choose in _CHOICES.items():
        value = choose(job, limit)
        if value is not None:
            yield field, value


def _together(job: _Tried, limit: int) -> Iterator[Change]:
    """One change after the other, until it fits; without those that turn out to be needless."""
    start, settings = job, dict[str, Any]()
    for field, choose in _CHOICES.items():
        value = choose(job, limit)
        if value is None:
            continue
        job, settings[field] = job.set(field, value), value
        if job.fits(limit):
            break
    else:
        return
    for field in list(settings):
        fewer = {name: value for name, value in settings.items() if name != field}
        if start.with_all(fewer).fits(limit):
            settings = fewer
    yield _change(settings, start.with_all(settings))


def _change(settings: Mapping[str, Any], job: _Tried) -> Change:
    return Change(settings=dict(settings), memory=job.basis.forecast(job.spec))


def _but(spec: JobSpec, section: str, name: str, value: Any) -> JobSpec:
    part = getattr(spec, section)
    return spec.model_copy(update={section: part.model_copy(update={name: value})})


def _fewer_rows(job: _Tried, limit: int) -> int | None:
    """The most that fit and that divide a step, or one at least."""
    if job.basis.rows == 1:
        return None
    most, step = rows_that_fit(job.spec, job.basis, limit=limit), job.spec.training.global_batch_size
    return next(rows for rows in range(max(most, 1), 0, -1) if step % rows == 0)


def _checkpointing(job: _Tried, _: int) -> bool | None:
    return None if job.basis.computing.checkpointing else True


def _lighter_states(job: _Tried, _: int) -> str | None:
    return "adamw_8bit" if job.spec.training.optim in ("adamw_torch", "paged_adamw_32bit") else None


def _nf4(job: _Tried, _: int) -> str | None:
    return "nf4" if job.spec.adapter is not None and job.spec.compute.quantization in (None, "int8") else None


def _adapter(job: _Tried, _: int) -> str | None:
    return "lora" if job.spec.adapter is None and job.spec.training.quantization_aware is None else None


def _shorter(job: _Tried, limit: int) -> int | None:
    """The longest round number that fits with the rows at a time as they are, if it is worth training on."""
    length = length_that_fits(job.spec, job.basis, limit=limit) // ROUND * ROUND
    return length if SHORTEST <= length < job.spec.training.max_length else None


def _smaller_rank(job: _Tried, limit: int) -> int | None:
    lora = job.spec.adapter
    if lora is None or lora.r == 1:
        return None
    return largest(lambda rank: job.set("adapter.r", rank).fits(limit), lora.r - 1) or None


_CHOICES: Mapping[str, Callable[[_Tried, int], Any]] = {
    "compute.per_device_train_batch_size": _fewer_rows,
    "compute.gradient_checkpointing": _checkpointing,
    "training.optim": _lighter_states,
    "compute.quantization": _nf4,
    "adapter": _adapter,
    "training.max_length": _shorter,
    "adapter.r": _smaller_rank,
}
"""From a field to the value to try, or None where it has no better one; the gentlest first."""
