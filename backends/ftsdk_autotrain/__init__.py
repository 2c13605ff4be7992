"""The AutoTrain backend: Hugging Face's AutoTrain Advanced, here in an environment of its own, or at Hugging Face."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

from ftsdk.artifact import Artifact
from ftsdk.backend import Capabilities, Options, Plan, Record
from ftsdk.engines.backend import EngineBackend
from ftsdk.errors import Problem, UnsupportedSpec
from ftsdk.huggingface import monitor
from ftsdk.huggingface.connection import connected
from ftsdk.huggingface.flavors import flavors
from ftsdk.huggingface.revisions import pin_revisions
from ftsdk.job_types import Event, JobRef, JobStatus
from ftsdk.remote.retries import Timeouts
from ftsdk.spec import JobSpec
from ftsdk.workers.hardware import device
from ftsdk_autotrain import hosted, translate
from ftsdk_autotrain.installation import ENGINE_ENVIRONMENT
from ftsdk_autotrain.options import AutoTrainOptions

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
        """What AutoTrain's trainers of language models do."""
        return Capabilities(
            methods=frozenset(translate.TASKS),
            adapters=frozenset({"full", "lora"}),
            quantizations=frozenset(translate.QUANTIZATIONS),
            formats=frozenset().union(*translate.FORMATS.values()) - {"auto"},
            verbs=frozenset({"events", "metrics", "cancel", "resume", "fetch"}),
        )

    def plan(self, spec: JobSpec, options: Any) -> Plan:
        """AutoTrain's YAML, and the machine at Hugging Face where it shall run there."""
        pins = pin_revisions(spec, self.name)
        if options.executor == "local":
            return translate.plan(
                spec, options, translate.Known(ENGINE_ENVIRONMENT.version, device(options.device), pins)
            )
        with connected(self.name, self._timing) as hub:
            owner, machines = hub.namespace(options.namespace), flavors(hub)
        variables = frozenset(name for name, value in os.environ.items() if value)
        known = translate.Known(ENGINE_ENVIRONMENT.version, device("cpu"), pins, owner, machines, variables)
        return translate.plan(spec, options, known)

    def submit(self, plan: Plan, token: str, record: Record) -> str:
        """Start a worker here, or bring the request to Hugging Face and start it there."""
        if plan.native["executor"] == "local":
            return super().submit(plan, token, record)
        with connected(self.name, self._timing) as hub:
            return hosted.submit(hub, plan, token, record)

    def find(self, token: str, plan: Plan) -> str | None:
        """Look for the job's folder, its Job's label, or its Space."""
        if plan.native["executor"] == "local":
            return super().find(token, plan)
        with connected(self.name, self._timing) as hub:
            return hosted.find(hub, plan, token)

    def status(self, native_id: str) -> JobStatus:
        """Where the job is."""
        if not hosted.is_hosted(native_id):
            return super().status(native_id)
        with connected(self.name, self._timing) as hub:
            carrier = hosted.carrier_of(hub, native_id)
            return monitor.status(hub, carrier, hosted.tongue(hub, carrier))

    def events(self, native_id: str, after: str | None = None) -> Iterable[Event]:
        """What has happened."""
        if not hosted.is_hosted(native_id):
            return super().events(native_id, after)
        with connected(self.name, self._timing) as hub:
            carrier = hosted.carrier_of(hub, native_id)
            return list(monitor.events(hub, carrier, hosted.tongue(hub, carrier), after))

    def cancel(self, native_id: str) -> None:
        """End it; AutoTrain saves nothing on the way."""
        if not hosted.is_hosted(native_id):
            super().cancel(native_id)
            return
        with connected(self.name, self._timing) as hub:
            monitor.cancel(hub, hosted.carrier_of(hub, native_id))

    def resume(self, native_id: str) -> None:
        """Start a local job anew; a hosted one is refused."""
        if not hosted.is_hosted(native_id):
            super().resume(native_id)
            return
        with connected(self.name, self._timing) as hub:
            hosted.carrier_of(hub, native_id).look()
        what = "AutoTrain saves no checkpoints, and a hosted job cannot be started again"
        raise UnsupportedSpec(self.name, [Problem("resume", what, "submit it as a new job")])

    def fetch(self, native_id: str, folder: Path) -> Artifact:
        """What AutoTrain made."""
        if not hosted.is_hosted(native_id):
            return super().fetch(native_id, folder)
        with connected(self.name, self._timing) as hub:
            ref = str(JobRef(self.name, native_id))
            return hosted.fetch(hub, hosted.carrier_of(hub, native_id), ref, folder)
