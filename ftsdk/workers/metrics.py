"""The metrics of a job, from its events."""

import json

from ftsdk.job_folder import JobFolder
from ftsdk.workers.event_writer import read_events

Metrics = dict[int, dict[str, float]]
"""From an optimizer step to its metrics."""


def metrics_by_step(folder: JobFolder) -> Metrics:
    """Every metric of the job; where a resumed attempt repeated a step, the later value."""
    metrics: Metrics = {}
    for event in read_events(folder.events):
        if event.kind == "metrics" and event.step is not None:
            metrics.setdefault(event.step, {}).update(event.metrics)
    return metrics


def last_values(metrics: Metrics) -> dict[str, float]:
    """The last value of each metric, and those of the held-out rows before any training."""
    last = {name: value for _, values in sorted(metrics.items()) for name, value in values.items()}
    return {**last, **{f"{name}_before": value for name, value in metrics.get(0, {}).items()}}


def as_lines(metrics: Metrics) -> str:
    """One JSON object for each step: ``metrics.jsonl`` of an artifact."""
    return "".join(json.dumps({"step": step, **values}) + "\n" for step, values in sorted(metrics.items()))
