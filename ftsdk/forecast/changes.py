"""The smallest changes that make a job fit, found by trying them with the forecast's own formula."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from ftsdk.forecast.batch_sizing import largest, length_that_fits, rows_that_fit
from ftsdk.forecast.memory import MemoryForecast
from ftsdk.forecast.memory_estimate import MemoryInputs
from ftsdk.spec import JobSpec, LoRA
from ftsdk.spec.base import Section

SHORTEST = 128
"""Tokens; little can be learned from shorter rows."""
ROUND = 64
"""Tokens; a suggested length is a multiple of it."""


class Change(Section):
    """Settings that make the job fit, and its memory with them."""

    settings: Mapping[str, Any]
    """From a field of the spec to its new value."""
    memory: MemoryForecast
    """Of the job with them."""

    def __str__(self) -> str:
        return ", ".join(f"{field}={value}" for field, value in self.settings.items())


class _ChangedJob(NamedTuple):
    """A job after some changes."""

    spec: JobSpec
    inputs: MemoryInputs

    def set(self, field: str, value: Any) -> "_ChangedJob":
        """The job with one more change."""
        section, name = field.split(".") if "." in field else ("", field)
        if field == "compute.per_device_train_batch_size":
            return _ChangedJob(_with_field(self.spec, section, name, value), self.inputs.replace(rows=value))
        if field == "compute.gradient_checkpointing":
            return _ChangedJob(_with_field(self.spec, section, name, value), self.inputs.replace(checkpointing=value))
        if field == "adapter":
            return _ChangedJob(self.spec.model_copy(update={"adapter": LoRA()}), self.inputs)
        return _ChangedJob(_with_field(self.spec, section, name, value), self.inputs)

    def with_all(self, settings: Mapping[str, Any]) -> "_ChangedJob":
        """The job with several more changes."""
        job = self
        for field, value in settings.items():
            job = job.set(field, value)
        return job

    def fits(self, limit: int) -> bool:
        """Whether it needs at most ``limit`` bytes."""
        return self.inputs.forecast(self.spec).total <= limit


def changes_that_fit(spec: JobSpec, inputs: MemoryInputs, *, limit: int) -> tuple[Change, ...]:
    """Each change that is enough by itself, the gentlest first; else the fewest together; empty if nothing helps.

    Args:
        spec: What to train.
        inputs: Of its forecast.
        limit: Bytes of the device.
    """
    job = _ChangedJob(spec, inputs)
    if job.fits(limit):
        return ()
    single_changes = [_change({field: value}, job.set(field, value)) for field, value in _choices(job, limit)]
    sufficient = tuple(change for change in single_changes if change.memory.total <= limit)
    return sufficient or tuple(_together(job, limit))


def _choices(job: _ChangedJob, limit: int) -> Iterator[tuple[str, Any]]:
    """Fields and values to try: first those that do not change the result of training."""
    for field, choose in _CHOICES.items():
        value = choose(job, limit)
        if value is not None:
            yield field, value


def _together(job: _ChangedJob, limit: int) -> Iterator[Change]:
    """One change after the other, until it fits; then those that turn out to be unnecessary are dropped."""
    start, settings = job, dict[str, Any]()
    for field, choose in _CHOICES.items():
        value = choose(job, limit)
        if value is None:
            continue
        # Later values are chosen for the job with the earlier changes, so some of these may not be needed any more.
        job, settings[field] = job.set(field, value), value
        if job.fits(limit):
            break
    else:
        return
    for field in list(settings):
        remaining = {name: value for name, value in settings.items() if name != field}
        if start.with_all(remaining).fits(limit):
            settings = remaining
    yield _change(settings, start.with_all(settings))


def _change(settings: Mapping[str, Any], job: _ChangedJob) -> Change:
    return Change(settings=dict(settings), memory=job.inputs.forecast(job.spec))


def _with_field(spec: JobSpec, section: str, name: str, value: Any) -> JobSpec:
    fields = getattr(spec, section)
    return spec.model_copy(update={section: fields.model_copy(update={name: value})})


def _fewer_rows(job: _ChangedJob, limit: int) -> int | None:
    """The most that fit and that divide a step; 1 if none fits."""
    if job.inputs.rows == 1:
        return None
    most, step = rows_that_fit(job.spec, job.inputs, limit=limit), job.spec.training.global_batch_size
    return next(rows for rows in range(max(most, 1), 0, -1) if step % rows == 0)


def _checkpointing(job: _ChangedJob, _: int) -> bool | None:
    return None if job.inputs.trainer.checkpointing else True


def _lighter_states(job: _ChangedJob, _: int) -> str | None:
    return "adamw_8bit" if job.spec.training.optim in ("adamw_torch", "paged_adamw_32bit") else None


def _nf4(job: _ChangedJob, _: int) -> str | None:
    return "nf4" if job.spec.adapter is not None and job.spec.compute.quantization in (None, "int8") else None


def _adapter(job: _ChangedJob, _: int) -> str | None:
    return "lora" if job.spec.adapter is None and job.spec.training.quantization_aware is None else None


def _shorter_length(job: _ChangedJob, limit: int) -> int | None:
    """The longest round length that fits for the same micro-batch, if it is worth training on."""
    length = length_that_fits(job.spec, job.inputs, limit=limit) // ROUND * ROUND
    return length if SHORTEST <= length < job.spec.training.max_length else None


def _smaller_rank(job: _ChangedJob, limit: int) -> int | None:
    lora = job.spec.adapter
    if lora is None or lora.r == 1:
        return None
    return largest(lambda rank: job.set("adapter.r", rank).fits(limit), lora.r - 1) or None


_CHOICES: Mapping[str, Callable[[_ChangedJob, int], Any]] = {
    "compute.per_device_train_batch_size": _fewer_rows,
    "compute.gradient_checkpointing": _checkpointing,
    "training.optim": _lighter_states,
    "compute.quantization": _nf4,
    "adapter": _adapter,
    "training.max_length": _shorter_length,
    "adapter.r": _smaller_rank,
}
"""From a field to the choice of a value to try (None: there is no better one); the gentlest first."""
