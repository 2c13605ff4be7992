"""The verbs: plan, submit, status, wait, logs, events, cancel, resume, fetch, jobs."""

from ftsdk.client.client import (
    Client,
    Job,
    cancel,
    events,
    fetch,
    job,
    jobs,
    logs,
    plan,
    resume,
    status,
    submit,
    wait,
)
from ftsdk.client.estimation import Estimate, estimate

__all__ = [
    "Client",
    "Estimate",
    "Job",
    "cancel",
    "estimate",
    "events",
    "fetch",
    "job",
    "jobs",
    "logs",
    "plan",
    "resume",
    "status",
    "submit",
    "wait",
]
