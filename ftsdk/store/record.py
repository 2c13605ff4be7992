"""What is kept about one job: enough to explain it, find it again, and finish what a crash broke off."""

import hashlib
import json
import secrets
import time
from collections.abc import Mapping
from typing import Any

from ftsdk.backend import Plan
from ftsdk.identity import ProcessIdentity
from ftsdk.job_types import JobRef, JobState, JobStatus, job_id
from ftsdk.spec import Section

_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
_TOKEN_LENGTH = 26  # 130 bits

SUBMITTING = "submitting"
RESUMING = "resuming"
INTERRUPTED = "interrupted"


class JobRecord(Section):
    """One job as the store keeps it; a change makes a new one, with the next ``rev``."""

    id: str
    """The method and the end of the token: ``sft-7f3k2m``."""
    token: str
    """26 characters of ``[a-z2-7]``: what a backend leaves with the system, to find the job again."""
    key: str | None = None
    """The user's own name for this submission: the same key never makes a second job."""
    spec_hash: str
    """Tells whether two submissions mean the same."""
    backend: str
    native_id: str | None = None
    """The system's name for the job. None: nothing is known to exist over there."""
    name: str | None = None
    method: str
    model: str
    spec: Mapping[str, Any]
    """The spec as the user wrote it."""
    plan: Mapping[str, Any]
    """The plan that is sent, also after a crash."""
    facts: Mapping[str, str] = {}
    """What the backend noted while it submitted, such as the id of an uploaded file."""
    status: JobStatus
    """The last observation."""
    attempt: int = 1
    """How often the job was started; resuming counts."""
    submitter: ProcessIdentity | None = None
    """The process that is submitting or resuming it, or last did."""
    rev: int = 1
    """Counts the changes."""
    created: float
    """Seconds since 1970."""
    updated: float
    """Seconds since 1970."""

    @classmethod
    def new(cls, plan: Plan, *, key: str | None, submitter: ProcessIdentity) -> "JobRecord":
        """The record of a job that is about to be submitted."""
        token, now = new_token(), time.time()
        return cls(
            id=job_id(plan.spec.method.type, token),
            token=token,
            key=key,
            spec_hash=spec_hash(plan),
            backend=plan.backend,
            name=plan.spec.name,
            method=plan.spec.method.type,
            model=plan.spec.model,
            spec=plan.spec.as_written(),
            plan=plan.model_dump(mode="json", exclude_unset=True),
            status=JobStatus(state=JobState.PENDING, stage=SUBMITTING),
            submitter=submitter,
            created=now,
            updated=now,
        )

    def with_new_token(self) -> "JobRecord":
        """The same record under another name, for when the name is taken."""
        token = new_token()
        return self.but(token=token, id=job_id(self.method, token))

    def but(self, **changes: Any) -> "JobRecord":
        """The same record with some fields changed."""
        return self.model_copy(update=changes)

    @property
    def state(self) -> JobState:
        """Where the job is, as last observed."""
        return self.status.state

    @property
    def ref(self) -> str:
        """The string that finds the job from anywhere; by our own id until the system has named it."""
        return str(JobRef(self.backend, self.native_id or self.id))


class JobSummary(Section):
    """One line of a list of jobs."""

    ref: str
    id: str
    name: str | None
    backend: str
    method: str
    model: str
    state: JobState
    status: JobStatus
    """The last observation; the backend is not asked again."""
    created: float
    """Seconds since 1970."""


class RecordChange(Section):
    """One entry of a job's history."""

    job_id: str
    rev: int
    time: float
    """Seconds since 1970."""
    what: str
    """What happened, in a word or two."""
    data: Mapping[str, Any]
    """The fields that changed, with their new values."""


def new_token() -> str:
    """A fresh token of 26 characters that nobody can guess."""
    return "".join(secrets.choice(_LETTERS) for _ in range(_TOKEN_LENGTH))


def spec_hash(plan: Plan) -> str:
    """The same for two submissions that ask the same backend for the same thing, with defaults written out or not."""
    written = plan.spec.model_dump(mode="json", exclude_defaults=True, exclude={"backend"})
    return hashlib.sha256(json.dumps([plan.backend, written], sort_keys=True).encode()).hexdigest()
