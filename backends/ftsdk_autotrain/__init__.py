"""The AutoTrain backend: Hugging Face's AutoTrain Advanced, on this machine or at Hugging Face."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from ftsdk.artifact import Artifact
from ftsdk.backend import Capabilities, Options, Plan, Record
from ftsdk.engines.backend import EngineBackend
from ftsdk.errors import Problem, UnsupportedSpec
from ftsdk.huggingface.connection import connected
from ftsdk.huggingface.flavors import flavors
from ftsdk.huggingface.revisions import pin_revisions
from ftsdk.huggingface.service import HubService
from ftsdk.job_types import Event, JobStatus
from ftsdk.remote.retries import Timeouts
from ftsdk.spec import JobSpec
from ftsdk.workers.hardware import device
from ftsdk_autotrain import translate
from ftsdk_autotrain.engine import ENGINE_ENVIRONMENT, AutoTrainOptions
from ftsdk_autotrain.service import is_hosted, open_service, split_id

__all__ = ["AutoTrainBackend"]


class AutoTrainBackend(EngineBackend):
    """Supervised and preference fine-tuning, and reward models, by AutoTrain 0.8.36.

    Args:
        timing: How long calls to the Hub may take.
    """

    name = translate.NAME
    worker = "ftsdk_autotrain.worker"
    environment = ENGINE_ENVIRONMENT
    Options: ClassVar[type[Options]] = AutoTrainOptions

    def __init__(self, timing: Timeouts = Timeouts()) -> None:  # noqa: B008 - an immutable value
        self._timing = timing
        self.pause = timing.poll_interval

    def capabilities(self) -> Capabilities:
        """Those of AutoTrain's trainers of language models."""
        return Capabilities(
            methods=frozenset(translate.TASKS),
            adapters=frozenset({"full", "lora"}),
            quantizations=frozenset(translate.QUANTIZATIONS),
            formats=frozenset().union(*translate.FORMATS.values()) - {"auto"},
            verbs=frozenset({"events", "metrics", "cancel", "resume", "fetch"}),
        )

    def plan(self, spec: JobSpec, options: Any) -> Plan:
        """AutoTrain's YAML; for a hosted job also its machine."""
        pins = pin_revisions(spec, self.name)
        if options.executor == "local":
            context = translate.AutoTrainContext(ENGINE_ENVIRONMENT.version, device(options.device), pins)
            return translate.plan(spec, options, context)
        with connected(self.name, self._timing) as hub:
            owner, machines = hub.namespace(options.namespace), flavors(hub)
        variables = frozenset(name for name, value in os.environ.items() if value)
        context = translate.AutoTrainContext(
            ENGINE_ENVIRONMENT.version, device("cpu"), pins, owner, machines, variables
        )
        return translate.plan(spec, options, context)

    def submit(self, plan: Plan, token: str, record: Record) -> str:
        """Start a worker on this machine, or upload the request to Hugging Face and start it there."""
        if plan.native["executor"] == "local":
            return super().submit(plan, token, record)
        with self._connect(_id_prefix(plan)) as service:
            return f"{service.id_prefix}{service.submit(plan, token, record)}"

    def find(self, token: str, plan: Plan) -> str | None:
        """Look for the job's folder, its Job's label, or its Space."""
        if plan.native["executor"] == "local":
            return super().find(token, plan)
        with self._connect(_id_prefix(plan)) as service:
            native_id = service.find(plan, token)
            return native_id and f"{service.id_prefix}{native_id}"

    def status(self, native_id: str) -> JobStatus:
        """The job's status."""
        if not is_hosted(native_id):
            return super().status(native_id)
        prefix, hub_id = split_id(native_id)
        with self._connect(prefix) as service:
            return service.status(hub_id)

    def events(self, native_id: str, after: str | None = None) -> Iterable[Event]:
        """The job's events."""
        if not is_hosted(native_id):
            return super().events(native_id, after)
        prefix, hub_id = split_id(native_id)
        with self._connect(prefix) as service:
            return list(service.events(hub_id, after))

    def cancel(self, native_id: str) -> None:
        """End it; AutoTrain saves no checkpoints."""
        if not is_hosted(native_id):
            super().cancel(native_id)
            return
        prefix, hub_id = split_id(native_id)
        with self._connect(prefix) as service:
            service.cancel(hub_id)

    def resume(self, native_id: str) -> None:
        """Start a local job from its beginning; a hosted one is refused."""
        if not is_hosted(native_id):
            super().resume(native_id)
            return
        prefix, hub_id = split_id(native_id)
        with self._connect(prefix) as service:
            service.execution(hub_id).inspect()  # a job that does not exist is the first problem
        problem = "AutoTrain saves no checkpoints, and a hosted job cannot be started again"
        raise UnsupportedSpec(self.name, [Problem("resume", problem, "submit it as a new job")])

    def fetch(self, native_id: str, folder: Path) -> Artifact:
        """The artifact, in ftsdk's one layout."""
        if not is_hosted(native_id):
            return super().fetch(native_id, folder)
        prefix, hub_id = split_id(native_id)
        with self._connect(prefix) as service:
            return service.fetch(hub_id, folder)

    @contextmanager
    def _connect(self, id_prefix: str) -> Iterator[HubService[Any]]:
        with connected(self.name, self._timing) as hub, open_service(hub, id_prefix) as service:
            yield service


def _id_prefix(plan: Plan) -> str:
    return f"{plan.native['executor']}/"
