"""The Hugging Face Jobs backend: ftsdk's own engine on Hugging Face's machines."""

import os
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from ftsdk.artifact import Artifact
from ftsdk.backend import Backend, Capabilities, Options, Plan, Record
from ftsdk.data.formats import FORMATS_OF_METHOD
from ftsdk.errors import Problem
from ftsdk.huggingface import monitor
from ftsdk.huggingface.connection import connected, token_problems
from ftsdk.huggingface.flavors import flavors
from ftsdk.huggingface.jobs import JobExecution
from ftsdk.huggingface.revisions import pin_revisions
from ftsdk.job_types import Event, JobRef, JobStatus
from ftsdk.remote.retries import Timeouts
from ftsdk.spec import JobSpec
from ftsdk_hfjobs import fetch, submit, translate
from ftsdk_hfjobs.options import HfJobsOptions
from ftsdk_hfjobs.report import TONGUE
from ftsdk_local import methods

__all__ = ["HfJobsBackend"]


class HfJobsBackend(Backend):
    """The local engine, all of it, on a machine of Hugging Face's; one paid Job for one submission.

    Args:
        timing: How long calls and pauses may take.
    """

    name = translate.NAME
    Options: ClassVar[type[Options]] = HfJobsOptions

    def __init__(self, timing: Timeouts = Timeouts()) -> None:  # noqa: B008 - an immutable value
        self._timing = timing
        self.pause = timing.poll_interval

    def capabilities(self) -> Capabilities:
        """What the engine does."""
        return Capabilities(
            methods=frozenset(methods.OPTIONS),
            adapters=frozenset({"full", "lora", "dora", "rslora"}),
            quantizations=frozenset({"nf4", "fp4", "int8"}),
            formats=frozenset().union(*FORMATS_OF_METHOD.values()),
            verbs=frozenset({"events", "metrics", "cancel", "fetch"}),
            costs_money=True,
        )

    def check(self) -> list[Problem]:
        """The Hub's client and a token."""
        if find_spec("huggingface_hub") is None:
            return [Problem("huggingface_hub", "is not installed", "pip install 'ftsdk[hfjobs]'")]
        return token_problems()

    def plan(self, spec: JobSpec, options: Any) -> Plan:
        """The Job: its machine, its price, the engine's settings. Nothing is sent but questions.

        Raises:
            UnsupportedSpec: With every field that cannot be honoured.
            AuthError: There is no token, or it may not write.
            UnreachableError: The Hub does not answer.
        """
        with connected(self.name, self._timing) as hub:
            owner, machines = hub.namespace(options.namespace), flavors(hub)
        variables = frozenset(name for name, value in os.environ.items() if value)
        known = translate.Known(owner, machines, pin_revisions(spec, self.name), variables)
        return translate.plan(spec, options, known)

    def submit(self, plan: Plan, token: str, record: Record) -> str:
        """Make the job's repository, bring the request there, run the Job once."""
        with connected(self.name, self._timing) as hub:
            return submit.submit(hub, plan, token, record)

    def find(self, token: str, plan: Plan) -> str | None:
        """Look for the token in the labels of the Jobs."""
        with connected(self.name, self._timing) as hub:
            return submit.find(hub, plan, token)

    def status(self, native_id: str) -> JobStatus:
        """Ask for the Job, for the end of its log, and for what it has sent."""
        with connected(self.name, self._timing) as hub:
            return monitor.status(hub, JobExecution(hub, native_id), TONGUE)

    def events(self, native_id: str, after: str | None = None) -> Iterable[Event]:
        """Read the log, which the engine's events are printed in."""
        with connected(self.name, self._timing) as hub:
            return list(monitor.events(hub, JobExecution(hub, native_id), TONGUE, after))

    def cancel(self, native_id: str) -> None:
        """End the Job; what it has run until then is paid, and what it has not sent is lost."""
        with connected(self.name, self._timing) as hub:
            monitor.cancel(hub, JobExecution(hub, native_id))

    def fetch(self, native_id: str, folder: Path) -> Artifact:
        """The artifact that came back to the job's repository."""
        with connected(self.name, self._timing) as hub:
            ref = str(JobRef(self.name, native_id))
            return fetch.fetch(hub, JobExecution(hub, native_id), TONGUE, ref, folder)
