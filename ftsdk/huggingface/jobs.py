"""Hugging Face Jobs: run a container once, find it again by its token, and inspect it.

The native id of a Job is ``namespace/id``: without the namespace, Jobs of an organization are not found.
"""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import SecretStr

from ftsdk.backend import Plan, Record
from ftsdk.errors import JobNotFound
from ftsdk.huggingface.connection import Hub, values_of
from ftsdk.huggingface.container import MOUNT
from ftsdk.huggingface.execution import ExecutionStatus, RemoteExecution
from ftsdk.huggingface.log import LogLine, read_log
from ftsdk.huggingface.service import HubService
from ftsdk.job_types import JobState
from ftsdk.remote.backend import ServiceJob, keep_newest

if TYPE_CHECKING:
    from huggingface_hub import JobInfo

STATES = {
    "SCHEDULING": JobState.QUEUED,
    "RUNNING": JobState.RUNNING,
    "COMPLETED": JobState.SUCCEEDED,
    "ERROR": JobState.FAILED,
    "CANCELED": JobState.CANCELLED,
    "DELETED": JobState.FAILED,
}
"""From a stage to our state; the results decide over success and failure."""

ID = re.compile(r"([A-Za-z0-9][\w.-]{0,95})/([0-9a-zA-Z]{6,64})")
"""``namespace/id``."""

_TOKEN_LABEL, _PRICE_LABEL = "ftsdk-id", "ftsdk-price"
_MICRO = 1e6


class LaunchRequest(NamedTuple):
    """What a Job runs: data of the plan, and what is known only at its submission."""

    namespace: str
    """The user or organization that owns and pays it."""
    image: str
    """A Docker image."""
    command: Sequence[str]
    flavor: str
    """The machine."""
    seconds: int
    """Longest time to run. It is always sent: without one, Hugging Face ends a Job after half an hour."""
    price: float
    """US dollars for an hour."""
    environment: Mapping[str, str]
    secrets: Mapping[str, SecretStr]
    """Environment variables whose values Hugging Face shows to nobody."""
    name: str
    """For people."""
    repository: str
    """The model repository that is mounted, read-only."""
    revision: str
    """Its commit."""

    @classmethod
    def of(
        cls, native: Mapping[str, Any], environment: Mapping[str, str], repository: str, revision: str
    ) -> "LaunchRequest":
        """The request for a plan's native data and its staged repository.

        Raises:
            AuthError: An environment variable of the plan's secrets is not set any more.
        """
        names = ("namespace", "image", "command", "flavor", "seconds")
        return cls(
            **{name: native[name] for name in names},
            price=native["price_per_hour"],
            environment=environment,
            secrets={name: SecretStr(value) for name, value in values_of(native["secrets"]).items()},
            name=repository.partition("/")[2],
            repository=repository,
            revision=revision,
        )


class JobsService(HubService[LaunchRequest]):
    """Hugging Face Jobs, as one backend uses them.

    A Job has the submission's token as a label. It is no key that would make a creation idempotent: a second Job with
    the same label is created, and paid.
    """

    job_list = "your page of Jobs at Hugging Face"
    creation = "run the Job"
    resends_creation = True  # Hugging Face refuses creations for a moment (HTTP 429) when it is busy

    def create(self, request: LaunchRequest, plan: Plan, token: str, record: Record) -> str | None:  # noqa: ARG002 - in the request
        """Run the Job."""
        job = _run_job(self.hub, request, token)
        return f"{request.namespace}/{job.id}" if job.id else None

    def find_job(self, plan: Plan, token: str, request: LaunchRequest | None) -> str | None:  # noqa: ARG002 - any Job with the token
        """Look for the token in the labels of all Jobs; of several, keep one."""
        namespace = plan.native["namespace"]
        # The namespace is sent, too: without it the client asks for the user's own, through its global token.
        listed: list[Any] = self.hub.ask(
            lambda: list(self.hub.api.list_jobs(namespace=namespace, labels={_TOKEN_LABEL: token})), "list the Jobs"
        )
        jobs = [
            ServiceJob(f"{namespace}/{info.id}", _state(info), str(info.created_at))
            for info in listed
            if (info.labels or {}).get(_TOKEN_LABEL) == token
        ]
        return keep_newest(jobs, self.stop)

    def execution(self, native_id: str) -> RemoteExecution:
        """The Job."""
        return JobExecution(self.hub, native_id)


class JobExecution(RemoteExecution):
    """One Job.

    Args:
        hub: The connection.
        native_id: ``namespace/id``.

    Raises:
        JobNotFound: The id is not valid.
    """

    title = "the Job"
    runs_after_completion = False

    def __init__(self, hub: Hub, native_id: str) -> None:
        match = ID.fullmatch(native_id)
        if not match:
            raise JobNotFound(f"{native_id!r} is no id of a Job: namespace/id", hint="ftsdk jobs lists yours")
        self._hub = hub
        self._namespace, self._id = match.groups()

    def inspect(self) -> ExecutionStatus:
        """Ask for it."""
        from huggingface_hub.errors import JobNotFoundError  # noqa: PLC0415 - slow to import

        def ask() -> "JobInfo":
            return self._hub.api.inspect_job(job_id=self._id, namespace=self._namespace)

        try:
            info: Any = self._hub.ask(ask, "describe the Job")
        except Exception as error:
            if isinstance(error.__cause__, JobNotFoundError):
                raise JobNotFound(
                    f"Hugging Face has no Job {self._id} of {self._namespace}", hint="ftsdk jobs lists yours"
                ) from error
            raise
        return _execution_status(info, f"{self._namespace}/")

    def lines(self, tail: int | None = None, *, ended: bool) -> list[LogLine]:
        """Its log."""
        return read_log(self._hub, f"api/jobs/{self._namespace}/{self._id}/logs", tail, ended=ended)

    def stop(self) -> None:
        """Cancel it."""
        self._hub.ask(lambda: self._hub.api.cancel_job(job_id=self._id, namespace=self._namespace), "cancel the Job")

    def stop_billing(self) -> str:
        """Nothing to do: a Job that has ended costs nothing."""
        return ""


def _run_job(hub: Hub, request: LaunchRequest, token: str) -> "JobInfo":
    """Send the creation; the client itself never repeats it."""
    from huggingface_hub import Volume  # noqa: PLC0415 - slow to import

    volume = Volume(
        type="model",
        source=request.repository,
        mount_path=MOUNT.rstrip("/"),
        revision=request.revision,
        read_only=True,
    )
    # The price goes along: when the cost is computed, perhaps much later, the list of machines has another one.
    labels = {_TOKEN_LABEL: token, _PRICE_LABEL: str(round(request.price * _MICRO))}
    return hub.api.run_job(
        image=request.image,
        command=list(request.command),
        env=dict(request.environment),
        secrets={name: secret.get_secret_value() for name, secret in request.secrets.items()},
        flavor=request.flavor,
        timeout=request.seconds,
        name=request.name,
        labels=labels,
        volumes=[volume],
        namespace=request.namespace,
    )


def _state(job: Any) -> JobState:
    # A stage that is missing from the client's list comes as a plain string.
    return STATES.get(str(getattr(job.status.stage, "value", job.status.stage)), JobState.UNKNOWN)


def _execution_status(info: Any, owner: str) -> ExecutionStatus:
    stage = str(getattr(info.status.stage, "value", info.status.stage))
    # The results come to the mounted repository, which belongs to the owner of the job.
    repositories = [volume.source for volume in info.volumes or [] if volume.source.startswith(owner)]
    price = (info.labels or {}).get(_PRICE_LABEL, "")
    running = info.durations.running_secs if info.durations else None
    return ExecutionStatus(
        state=_state(info),
        raw_status=stage,
        message=info.status.message or "",
        times=(_seconds(info.created_at), _seconds(info.started_at), _seconds(info.finished_at)),
        repository=repositories[0] if repositories else "",
        cost=running * int(price) / _MICRO / 3600 if running is not None and price.isdecimal() else None,
    )


def _seconds(moment: Any) -> float:
    return float(moment.timestamp()) if moment else 0.0
