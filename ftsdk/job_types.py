"""The types of what is known about a job: its reference, its state, its events."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal, NamedTuple

from ftsdk.errors import SpecError
from ftsdk.spec.base import Section


class JobRef(NamedTuple):
    """The one string that finds a job from anywhere: ``backend:native-id``, such as ``local:sft-7f3k2m``."""

    backend: str
    native_id: str

    def __str__(self) -> str:
        return f"{self.backend}:{self.native_id}"

    @classmethod
    def parse(cls, text: str) -> "JobRef":
        """Read a reference back from its string.

        Raises:
            SpecError: The text is not a reference.
        """
        backend, colon, native_id = text.partition(":")
        if not (colon and backend and native_id):
            raise SpecError(f"{text!r} is not a job reference", hint="give backend:id, such as local:sft-7f3k2m")
        return cls(backend, native_id)


def job_id(method_type: str, token: str, length: int = 6) -> str:
    """The short name of a job, such as ``sft-7f3k2m``: the method and the end of its token."""
    return f"{method_type.replace('_', '-')}-{token[-length:]}"


class JobState(StrEnum):
    """Where a job is in its life.

    ``pending -> queued -> running -> cancelling -> succeeded | failed | cancelled``; ``unknown`` where it is uncertain.
    """

    PENDING = "pending"
    """Recorded here; its ``stage`` says what is being done: validating, uploading, submitting, interrupted."""
    QUEUED = "queued"
    """Accepted, waiting for a device."""
    RUNNING = "running"
    CANCELLING = "cancelling"
    """Asked to stop; it may still succeed."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    """Uncertain: an answer was lost, or the system has a state that we do not know."""

    @property
    def done(self) -> bool:
        """Whether the state is final."""
        return self in _FINAL


_FINAL = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})


class Reason(StrEnum):
    """Why a job failed: a closed list."""

    OOM = "oom"
    DATA_ERROR = "data_error"
    AUTH = "auth"
    GATED_MODEL = "gated_model"
    QUOTA = "quota"
    TIMEOUT = "timeout"
    PREEMPTED = "preempted"
    PROVIDER_ERROR = "provider_error"
    ENGINE_ERROR = "engine_error"
    DIVERGED = "diverged"
    WORKER_LOST = "worker_lost"
    DISK_FULL = "disk_full"


_SHORT_METRICS = ("loss", "eval_loss", "reward", "eval_reward", "eval_accuracy")


class JobStatus(Section):
    """One observation of a job."""

    state: JobState
    """Where the job is."""
    stage: str = ""
    """What is being done now, in a word or two."""
    raw_status: str = ""
    """The system's own word, as it came."""
    reason: Reason | None = None
    """Why it failed."""
    message: str = ""
    """What happened, in a sentence; for a failure, the evidence."""
    hint: str = ""
    """The next step, or the smallest change that helps."""
    progress: float | None = None
    """Share done, from 0 to 1."""
    step: int | None = None
    """Optimizer steps done."""
    total_steps: int | None = None
    """Optimizer steps in all."""
    metrics: Mapping[str, float] = {}
    """The last value of each metric, by its Transformers name (``loss``, ``eval_loss``, ``learning_rate``)."""
    eta_seconds: float | None = None
    """Seconds until the end, at the present throughput."""
    cost: float | None = None
    """Money spent so far, in US dollars."""
    warnings: tuple[str, ...] = ()
    """What the user should know, such as ``no progress for 12 minutes``."""
    facts: Mapping[str, str] = {}
    """What was recorded at its submission, such as the id of an uploaded file or the estimated ``price``."""

    def __str__(self) -> str:
        parts = [self.state.value]
        if self.stage and not self.state.done:
            parts.append(self.stage)
        if self.reason:
            parts.append(self.reason.value)
        if self.step is not None and self.total_steps:
            parts.append(f"step {self.step}/{self.total_steps}")
        parts += [f"{name} {value:.4g}" for name, value in self.metrics.items() if name in _SHORT_METRICS]
        return ", ".join(parts) + (f": {self.message}" if self.message else "")


class Event(Section):
    """One thing that happened to a job, in order."""

    cursor: str
    """Where this event stands in its stream; give it to ``events(after=...)`` to continue after it."""
    time: float
    """Seconds since 1970, by the clock of the system that reports it."""
    kind: Literal["state", "metrics", "log", "warning", "checkpoint", "sample"]
    """The kind of event."""
    message: str = ""
    """The line of log, or what happened in a sentence."""
    state: JobState | None = None
    """The new state, for ``state`` events."""
    step: int | None = None
    """The optimizer step it belongs to."""
    metrics: Mapping[str, float] = {}
    """The values, for ``metrics`` events, by their Transformers names."""
