"""Hugging Face Jobs: run a container once, find it again by its token, and see how it goes.

A Job is known by ``namespace/id``: without the namespace, those of an organization are not found.
"""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ftsdk.backend import Plan, Record
from ftsdk.errors import JobNotFound
from ftsdk.huggingface.connection import Hub, values_of
from ftsdk.huggingface.container import MOUNT
from ftsdk.huggingface.errors import ERROR_MAPPER
from ftsdk.huggingface.execution import RemoteExecution, Seen
from ftsdk.huggingface.log import Line, read_log
from ftsdk.job_types import JobState
from ftsdk.remote.create_once import IdempotentCreate

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
"""From a stage to our state, as far as Hugging Face can tell; what was made decides over success and failure."""

ID = re.compile(r"([A-Za-z0-9][\w.-]{0,95})/([0-9a-zA-Z]{6,64})")
"""``namespace/id``."""

_TOKEN_LABEL, _PRICE_LABEL = "ftsdk-id", "ftsdk-price"
_MICRO = 1e6


class Order(NamedTuple):
    """What a Job is to be: plain data of a plan, and what is known at its submission alone."""

    namespace: str
    """The user or organization that it belongs to, and that pays."""
    image: str
    """A Docker image."""
    command: Sequence[str]
    flavor: str
    """The machine."""
    seconds: int
    """Longest time to run. It is always sent: left out, Hugging Face ends a Job after half an hour."""
    price: float
    """US dollars for an hour."""
    environment: Mapping[str, str]
    secrets: Sequence[str]
    """Names of environment variables here whose values the Job is given as secrets."""
    name: str
    """For people."""
    repository: str
    """The model repository that is mounted, read-only."""
    revision: str
    """Its commit."""

    @classmethod
    def of(cls, native: Mapping[str, Any], environment: Mapping[str, str], repository: str, revision: str) -> "Order":
        """The order that a plan's native request and its staged repository make."""
        same = ("namespace", "image", "command", "flavor", "seconds", "secrets")
        return cls(
            **{name: native[name] for name in same},
            price=native["price_per_hour"],
            environment=environment,
            name=repository.partition("/")[2],
            repository=repository,
            revision=revision,
        )


def create(hub: Hub, plan: Plan, token: str, order: Order, record: Record) -> str:
    """Run a Job, once for a token, and give ``namespace/id``.

    Raises:
        AuthError: A key is missing, or lacks a right; nothing was created.
        AmbiguousError: No certain answer came, and the list of Jobs does not show it.
    """
    secrets = values_of(order.secrets)

    def send() -> str | None:
        made = _run(hub, token, order, secrets)
        return f"{order.namespace}/{made.id}" if made.id else None

    def refusal(error: Exception) -> BaseException:
        return ERROR_MAPPER.mapped(error, "run the Job")

    return _once(hub, plan).create(send, lambda: _listed(hub, order.namespace, token), record, refusal)


def find(hub: Hub, plan: Plan, namespace: str, token: str) -> str | None:
    """The Job with this token, or None where it is certain that there is none.

    Raises:
        AmbiguousError: A creation was sent, and no Job shows up, or the list cannot be had.
    """
    return _once(hub, plan).find(lambda: _listed(hub, namespace, token))


class JobExecution(RemoteExecution):
    """One Job.

    Args:
        hub: The connection.
        native_id: ``namespace/id``.

    Raises:
        JobNotFound: That is no name of a Job, or there is none.
    """

    title = "the Job"
    outlives = False

    def __init__(self, hub: Hub, native_id: str) -> None:
        found = ID.fullmatch(native_id)
        if not found:
            raise JobNotFound(f"{native_id!r} names no Job; they are namespace/id", hint="ftsdk jobs lists yours")
        self._hub = hub
        self._namespace, self._id = found.groups()

    def look(self) -> Seen:
        """Ask for it."""
        from huggingface_hub.errors import JobNotFoundError  # noqa: PLC0415 - slow to import

        def ask() -> "JobInfo":
            return self._hub.api.inspect_job(job_id=self._id, namespace=self._namespace)

        try:
            info: Any = self._hub.ask(ask, "tell about the Job")
        except Exception as error:
            if isinstance(error.__cause__, JobNotFoundError):
                what = f"Hugging Face knows no Job {self._id} of {self._namespace}"
                raise JobNotFound(what, hint="ftsdk jobs lists yours") from error
            raise
        return _seen(info, f"{self._namespace}/")

    def lines(self, tail: int | None = None, *, ended: bool) -> list[Line]:
        """Its log."""
        return read_log(self._hub, f"api/jobs/{self._namespace}/{self._id}/logs", tail, ended=ended)

    def stop(self) -> None:
        """Cancel it."""
        self._hub.ask(lambda: self._hub.api.cancel_job(job_id=self._id, namespace=self._namespace), "cancel the Job")

    def settle(self) -> str:
        """Nothing to do: a Job that has ended costs nothing."""
        return ""


def _run(hub: Hub, token: str, order: Order, secrets: Mapping[str, str]) -> "JobInfo":
    from huggingface_hub import Volume  # noqa: PLC0415 - slow to import

    volume = Volume(
        type="model",
        source=order.repository,
        mount_path=MOUNT.rstrip("/"),
        revision=order.revision,
        read_only=True,
    )
    labels = {_TOKEN_LABEL: token, _PRICE_LABEL: str(round(order.price * _MICRO))}
    return hub.api.run_job(
        image=order.image,
        command=list(order.command),
        env=dict(order.environment),
        secrets=dict(secrets),
        flavor=order.flavor,
        timeout=order.seconds,
        name=order.name,
        labels=labels,
        volumes=[volume],
        namespace=order.namespace,
    )


def _once(hub: Hub, plan: Plan) -> IdempotentCreate:
    hint = "look again later; if your page of Jobs at Hugging Face shows none, submit a new job"
    return IdempotentCreate("Hugging Face", plan, hub.timing.poll_interval, hint, hub.timing.retry_policy)


def _listed(hub: Hub, namespace: str, token: str) -> str | None:
    """The Job with this token; of several alive, all but the newest are cancelled, for each would be paid."""
    found: list[Any] = hub.ask(
        lambda: list(hub.api.list_jobs(namespace=namespace, labels={_TOKEN_LABEL: token})), "list the Jobs"
    )
    mine = [job for job in found if (job.labels or {}).get(_TOKEN_LABEL) == token]
    if not mine:
        return None
    mine.sort(key=lambda job: str(job.created_at), reverse=True)
    alive = [job for job in mine if not _state(job).done]
    for extra in alive[1:]:
        JobExecution(hub, f"{namespace}/{extra.id}").stop()
    succeeded = [job for job in mine if _state(job) is JobState.SUCCEEDED]
    return f"{namespace}/{(alive or succeeded or mine)[0].id}"


def _state(job: Any) -> JobState:
    return STATES.get(str(getattr(job.status.stage, "value", job.status.stage)), JobState.UNKNOWN)


def _seen(info: Any, owner: str) -> Seen:
    word = str(getattr(info.status.stage, "value", info.status.stage))
    volumes = [volume.source for volume in info.volumes or [] if volume.source.startswith(owner)]
    price = (info.labels or {}).get(_PRICE_LABEL, "")
    running = info.durations.running_secs if info.durations else None
    return Seen(
        state=_state(info),
        word=word,
        message=info.status.message or "",
        times=(_seconds(info.created_at), _seconds(info.started_at), _seconds(info.finished_at)),
        repository=volumes[0] if volumes else "",
        cost=running * int(price) / _MICRO / 3600 if running is not None and price.isdecimal() else None,
    )


def _seconds(moment: Any) -> float:
    return float(moment.timestamp()) if moment else 0.0
