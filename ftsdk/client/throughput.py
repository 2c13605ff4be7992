"""How long a training will take on this machine: from an earlier job with the same settings, or not known."""

import math
from collections.abc import Iterable, Iterator
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from ftsdk import registry
from ftsdk.backend import Plan
from ftsdk.errors import FtsdkError
from ftsdk.job_types import Event, JobState
from ftsdk.spec import GRPO, PPO, JobSpec

if TYPE_CHECKING:
    from ftsdk.store.record import JobRecord
    from ftsdk.store.store import Store

_MOST_JOBS = 200
"""How many of the newest jobs are searched."""


class TimeEstimate(NamedTuple):
    """The time of a training, from the throughput of an earlier job."""

    seconds: float
    """Of the steps alone: without loading, saving and evaluating."""
    ref: str
    """The earlier job."""


def estimate_time(plan: Plan, store: "Store") -> TimeEstimate | None:
    """The time of a plan's training, from the newest job here with the same model, method and machine settings.

    Throughput is counted in characters of the rows, because the rows of a plan are not tokenized yet. None: there is
    no such job, or its rows or steps cannot be compared.
    """
    if plan.price != 0 or plan.data is None or isinstance(plan.spec.method, PPO | GRPO):
        return None
    for record in _comparable_jobs(plan, store):
        speed = _characters_per_second(record)
        work = _characters(plan.spec, plan.data.characters, plan.data.rows)
        if speed and work:
            return TimeEstimate(work / speed, record.ref)
    return None


def _comparable_jobs(plan: Plan, store: "Store") -> Iterator["JobRecord"]:
    settings = _time_relevant_fields(plan.spec)
    for job in store.summaries(_MOST_JOBS):
        if (job.backend, job.model, job.state) == (plan.backend, plan.spec.model, JobState.SUCCEEDED):
            record = store.get(job.id)
            if record.attempt == 1 and _time_relevant_fields(JobSpec.model_validate(record.spec)) == settings:
                yield record


def _time_relevant_fields(spec: JobSpec) -> dict[str, Any]:
    """The fields that determine the time for one character."""
    fields = spec.model_dump(mode="json", include={"model", "model_revision", "method", "adapter", "compute"})
    training = spec.training.model_dump(mode="json", include={"max_length", "packing", "optim", "global_batch_size"})
    return {**fields, "training": training}


def _characters_per_second(record: "JobRecord") -> float | None:
    """The throughput of an earlier job, from the times of its steps."""
    data = record.plan.get("data") or {}
    try:
        seconds = _seconds_per_step(registry.load_backend(record.backend).events(str(record.native_id)))
    except FtsdkError:  # its folder is gone, or on another machine
        return None
    if not seconds or not data.get("rows"):
        return None
    spec = JobSpec.model_validate(record.spec)
    return float(spec.training.global_batch_size * data.get("characters", 0) / data["rows"] / seconds)


def _seconds_per_step(events: Iterable[Event]) -> float | None:
    """The median: from tokens per step and per second, or else from the times between two events with metrics."""
    measured = [event for event in events if event.kind == "metrics" and event.step]
    # Tokens per second count the steps alone; between two events there may be a checkpoint or an evaluation, too.
    token_times = [
        event.metrics["tokens_per_step"] / event.metrics["tokens_per_second"]
        for event in measured
        if event.metrics.get("tokens_per_step") and event.metrics.get("tokens_per_second")
    ]
    steps = [(event.step or 0, event.time) for event in measured]
    spans = [(end[1] - start[1]) / (end[0] - start[0]) for start, end in pairwise(steps) if end[0] > start[0]]
    seconds = median(token_times or spans or [0.0])
    return seconds if seconds > 0 else None


def _characters(spec: JobSpec, characters: int, rows: int) -> float:
    """The characters that a job trains on in all its steps."""
    if not rows:
        return 0.0
    return steps_of(spec, rows) * min(spec.training.global_batch_size, _training_rows(spec, rows)) * characters / rows


def steps_of(spec: JobSpec, rows: int) -> float:
    """The optimizer steps of a job that trains on given rows.

    Args:
        spec: The spec.
        rows: Of its dataset, including those that will be held out.
    """
    epoch = math.ceil(_training_rows(spec, rows) / spec.training.global_batch_size)
    return spec.training.max_steps or epoch * spec.training.num_train_epochs


def _training_rows(spec: JobSpec, rows: int) -> float:
    # A share of the rows below 1, else a number of rows.
    return rows - (math.ceil(rows * spec.val_size) if spec.val_size < 1 else spec.val_size)
