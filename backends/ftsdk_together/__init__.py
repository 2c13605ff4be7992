"""The Together AI backend: fine-tunes in Together's cloud, through its official client."""

import os
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from ftsdk.artifact import Artifact
from ftsdk.backend import Backend, Capabilities, Options, Plan, Record
from ftsdk.data import is_local, rows
from ftsdk.errors import ConfigError, DataError, Problem, UnsupportedSpec
from ftsdk.job_types import Event, JobStatus
from ftsdk.remote.retries import Timeouts
from ftsdk.spec import JobSpec
from ftsdk_together import fetch, monitor, submit, translate
from ftsdk_together.api import KEY, Api, base_url, connected
from ftsdk_together.limits import Limits
from ftsdk_together.options import TogetherOptions

__all__ = ["TogetherBackend"]


class TogetherBackend(Backend):
    """Supervised and preference fine-tuning at Together AI, never paid twice.

    Args:
        timing: How long calls and pauses may take.
    """

    name = "together"
    Options: ClassVar[type[Options]] = TogetherOptions

    def __init__(self, timing: Timeouts = Timeouts()) -> None:  # noqa: B008 - an immutable value
        self._timing = timing
        self.pause = timing.look

    def capabilities(self) -> Capabilities:
        """What Together does for the models that it trains; a plan asks about the one model."""
        return Capabilities(
            methods=frozenset(translate.FORMATS),
            adapters=frozenset({"full", "lora"}),
            formats=frozenset().union(*translate.FORMATS.values()) - {"auto"},
            verbs=frozenset({"events", "metrics", "cancel", "fetch"}),
            costs_money=True,
        )

    def check(self) -> list[Problem]:
        """The client, the key and the address."""
        problems = []
        if find_spec("together") is None:
            problems.append(Problem("together", "is not installed", "pip install 'ftsdk[together]'"))
        if not os.environ.get(KEY):
            problems.append(Problem(KEY, "is not set", "make a key at https://api.together.ai/settings/api-keys"))
        try:
            base_url()
        except ConfigError as error:
            problems.append(Problem("TOGETHER_BASE_URL", "ends in /v1", error.hint))
        return problems

    def plan(self, spec: JobSpec, options: Any) -> Plan:
        """Together's request; with a key, held against what Together says of the model. Nothing is sent but questions.

        Raises:
            UnsupportedSpec: With every field that Together cannot honour.
            AuthError: The key is wrong.
            UnreachableError: Together does not answer.
        """
        keys = frozenset(name for name, value in os.environ.items() if value)
        known = translate.Known(text=_is_text(spec), keys=keys)
        if KEY not in known.keys or spec.method.type not in translate.FORMATS:
            return translate.plan(spec, options, known)
        with connected(self._timing) as api:
            limits = api.limits(options.model or spec.model)
            parent = _parent(api, options.from_checkpoint)
        if limits is None:
            raise _untrainable(spec, options, known)
        return translate.plan(spec, options, known._replace(limits=Limits.model_validate(limits), parent=parent))

    def submit(self, plan: Plan, token: str, record: Record) -> str:
        """Upload the rows, ask the price, create once."""
        with connected(self._timing) as api:
            return submit.submit(api, plan, token, record)

    def find(self, token: str, plan: Plan) -> str | None:
        """Look for the token in the suffixes of all jobs."""
        with connected(self._timing) as api:
            return submit.find(api, plan, token)

    def status(self, native_id: str) -> JobStatus:
        """Ask for the job, and for its events where it has failed."""
        with connected(self._timing) as api:
            return monitor.status(api, native_id)

    def events(self, native_id: str, after: str | None = None) -> Iterable[Event]:
        """Events and metrics together, by time."""
        with connected(self._timing) as api:
            return list(monitor.events(api, native_id, after))

    def cancel(self, native_id: str) -> None:
        """Ask the job to stop; what it has trained until then is paid."""
        with connected(self._timing) as api:
            monitor.cancel(api, native_id)

    def fetch(self, native_id: str, folder: Path) -> Artifact:
        """The adapter or the whole model; ``ID:merged`` and ``ID:STEP`` name other things that the job made."""
        with connected(self._timing) as api:
            return fetch.fetch(api, native_id, folder)


def _is_text(spec: JobSpec) -> bool:
    """Whether the rows are plain text; by the first of them, where the spec does not say."""
    if spec.dataset.format != "auto":
        return spec.dataset.format == "text"
    if not all(is_local(path) for path in spec.dataset.paths):
        return False
    try:
        return next(iter(rows(spec.dataset, spec.method.type))).format == "text"
    except (DataError, StopIteration):  # whoever checks the rows tells what is wrong with them
        return False


def _parent(api: Api, checkpoint: str | None) -> str | None:
    """The base model of the job that a checkpoint is of."""
    if checkpoint is None:
        return None
    model = api.job(checkpoint.partition(":")[0]).get("model")
    return model if isinstance(model, str) else None


def _untrainable(spec: JobSpec, options: TogetherOptions, known: translate.Known) -> UnsupportedSpec:
    """The refusal of a model, together with all else that is wrong."""
    name = options.model or spec.model
    problem = Problem(
        "model",
        f"Together does not fine-tune {name}, or under another name",
        "see https://docs.together.ai/docs/fine-tuning-models; backend_options.together.model takes Together's name",
    )
    try:
        translate.plan(spec, options, known)
    except UnsupportedSpec as error:
        return UnsupportedSpec("together", [problem, *error.problems])
    return UnsupportedSpec("together", [problem])
