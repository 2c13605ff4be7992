"""The record of one job: enough to explain it, to find it again, and to complete what a crash interrupted."""

import hashlib
import json
import secrets
import time
from collections.abc import Mapping
from typing import Any

from ftsdk.backend import Plan
from ftsdk.job_types import JobRef, JobState, JobStatus, job_id
from ftsdk.process_identity import ProcessIdentity
from ftsdk.spec import Section

_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
_TOKEN_LENGTH = 26
"""Of 5 bits each: 130 bits, too many to guess and too many for two equal tokens."""

SUBMITTING = "submitting"
RESUMING = "resuming"
INTERRUPTED = "interrupted"


class JobRecord(Section):
    """One job as the store keeps it; a change makes a new one, with the next ``rev``."""

    id: str
    """The method and the end of the token: ``sft-7f3k2m``."""
    token: str
    """26 characters of ``[a-z2-7]``: the backend passes it to the system, to find the job again."""
    key: str | None = None
    """The user's own name for this submission: the same key never makes a second job."""
    spec_hash: str
    """The same for two submissions of equal specs to one backend."""
    backend: str
    native_id: str | None = None
    """The system's name for the job. None: no job is known to exist there."""
    name: str | None = None
    method: str
    model: str
    spec: Mapping[str, Any]
    """The spec as the user wrote it."""
    plan: Mapping[str, Any]
    """The plan that is sent, after a crash, too."""
    facts: Mapping[str, str] = {}
    """What the backend recorded during the submission, such as the id of an uploaded file."""
    status: JobStatus
    """The last observation."""
    attempt: int = 1
    """The number of starts; each resume is one."""
    submitter: ProcessIdentity | None = None
    """The process that is submitting or resuming it, or that did so last."""
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
        """The same record with another token and id."""
        token = new_token()
        return self.replace(token=token, id=job_id(self.method, token))

    def replace(self, **changes: Any) -> "JobRecord":
        """The same record with some fields changed."""
        return self.model_copy(update=changes)

    @property
    def state(self) -> JobState:
        """The last observed state."""
        return self.status.state

    @property
    def ref(self) -> str:
        """The string that finds the job from any process; with our own id until the system's is known."""
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
    """A new random token of 26 characters."""
    return "".join(secrets.choice(_LETTERS) for _ in range(_TOKEN_LENGTH))


def spec_hash(plan: Plan) -> str:
    """The same for two submissions of equal specs to one backend, with defaults written out or not."""
    written = plan.spec.model_dump(mode="json", exclude_defaults=True, exclude={"backend"})
    return hashlib.sha256(json.dumps([plan.backend, written], sort_keys=True).encode()).hexdigest()
