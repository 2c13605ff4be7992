"""How long a training will take on this machine: by an earlier job that was trained in the same way, or not known."""

import math
from collections.abc import Iterable, Iterator
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from ftsdk import plugins
from ftsdk.backend import Plan
from ftsdk.errors import FtsdkError
from ftsdk.job_types import Event, JobState
from ftsdk.spec import GRPO, PPO, JobSpec

if TYPE_CHECKING:
    from ftsdk.store.record import JobRecord
    from ftsdk.store.store import Store

_MOST_JOBS = 200
"""The newest jobs that are looked through."""


class Pace(NamedTuple):
    """What an earlier job has shown."""

    seconds: float
    """The steps alone: without loading, saving and evaluating."""
    ref: str
    """The job."""


def expected(plan: Plan, store: "Store") -> Pace | None:
    """The time that a plan's training takes, by the newest job here with the same model, method and machine settings.

    Its pace is counted in characters of the rows, because tokens are known only once they are made. None: there is no
    such job, or its rows or steps cannot be compared.
    """
    if plan.price != 0 or plan.data is None or isinstance(plan.spec.method, PPO | GRPO):
        return None
    for record in _alike(plan, store):
        speed = _characters_per_second(record)
        work = _characters(plan.spec, plan.data.characters, plan.data.rows)
        if speed and work:
            return Pace(work / speed, record.ref)
    return None


def _alike(plan: Plan, store: "Store") -> Iterator["JobRecord"]:
    wanted = _way(plan.spec)
    for job in store.summaries(_MOST_JOBS):
        if (job.backend, job.model, job.state) == (plan.backend, plan.spec.model, JobState.SUCCEEDED):
            record = store.get(job.id)
            if record.attempt == 1 and _way(JobSpec.model_validate(record.spec)) == wanted:
                yield record


def _way(spec: JobSpec) -> dict[str, Any]:
    """All that decides how long one character takes."""
    fields = spec.model_dump(mode="json", include={"model", "model_revision", "method", "adapter", "compute"})
    training = spec.training.model_dump(mode="json", include={"max_length", "packing", "optim", "global_batch_size"})
    return {**fields, "training": training}


def _characters_per_second(record: "JobRecord") -> float | None:
    """Of an earlier job, by the times of its steps."""
    data = record.plan.get("data") or {}
    try:
        seconds = _seconds_per_step(plugins.load_backend(record.backend).events(str(record.native_id)))
    except FtsdkError:  # its folder is gone, or on another machine
        return None
    if not seconds or not data.get("rows"):
        return None
    spec = JobSpec.model_validate(record.spec)
    return float(spec.training.global_batch_size * data.get("characters", 0) / data["rows"] / seconds)


def _seconds_per_step(events: Iterable[Event]) -> float | None:
    """The median: by the tokens of a step and their pace, or else by what lies between two looks at the metrics."""
    seen = [event for event in events if event.kind == "metrics" and event.step]
    counted = [
        event.metrics["tokens_per_step"] / event.metrics["tokens_per_second"]
        for event in seen
        if event.metrics.get("tokens_per_step") and event.metrics.get("tokens_per_second")
    ]
    steps = [(event.step or 0, event.time) for event in seen]
    spans = [(later[1] - one[1]) / (later[0] - one[0]) for one, later in pairwise(steps) if later[0] > one[0]]
    found = median(counted or spans or [0.0])
    return found if found > 0 else None


def _characters(spec: JobSpec, characters: int, rows: int) -> float:
    """That a job trains on: steps times rows."""
    if not rows:
        return 0.0
    return steps_of(spec, rows) * min(spec.training.global_batch_size, _trained(spec, rows)) * characters / rows


def steps_of(spec: JobSpec, rows: int) -> float:
    """The optimizer steps of a job that learns from rows as they are.

    Args:
        spec: The spec.
        rows: Of its dataset, those that will be held out included.
    """
    epoch = math.ceil(_trained(spec, rows) / spec.training.global_batch_size)
    return spec.training.max_steps or epoch * spec.training.num_train_epochs


def _trained(spec: JobSpec, rows: int) -> float:
    held = spec.val_size
    return rows - (math.ceil(rows * held) if held < 1 else held)
