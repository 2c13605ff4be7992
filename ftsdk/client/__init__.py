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

__all__ = [
    "Client",
    "Job",
    "cancel",
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
