"""The Together AI backend: fine-tunes in Together's cloud, through its official client."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from ftsdk.backend import Capabilities, Options, Plan
from ftsdk.data import is_local, rows
from ftsdk.errors import ConfigError, DataError, Problem, UnsupportedSpec
from ftsdk.remote.backend import RemoteBackend
from ftsdk.spec import JobSpec
from ftsdk_together import translate
from ftsdk_together.api import KEY, TogetherApi, base_url, connected
from ftsdk_together.limits import Limits
from ftsdk_together.options import TogetherOptions
from ftsdk_together.service import TogetherService

__all__ = ["TogetherBackend"]


class TogetherBackend(RemoteBackend):
    """Supervised and preference fine-tuning at Together AI, never paid twice."""

    name = "together"
    Options: ClassVar[type[Options]] = TogetherOptions
    client_package = "together"
    api_key = KEY
    api_key_hint = "make a key at https://api.together.ai/settings/api-keys"

    @contextmanager
    def connect(self) -> Iterator[TogetherService]:
        """Together, through its own client."""
        with connected(self.timing) as api:
            yield TogetherService(api)

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
        problems = super().check()
        try:
            base_url()
        except ConfigError as error:
            problems.append(Problem("TOGETHER_BASE_URL", "ends in /v1", error.hint))
        return problems

    def plan(self, spec: JobSpec, options: Any) -> Plan:
        """Together's request; with a key, checked against the model's limits there. Nothing is sent but questions.

        Raises:
            UnsupportedSpec: With every field that Together cannot honour.
            AuthError: The key is wrong.
            UnreachableError: Together does not answer.
        """
        keys = frozenset(name for name, value in os.environ.items() if value)
        context = translate.TogetherContext(text=_is_text(spec), keys=keys)
        if KEY not in context.keys or spec.method.type not in translate.FORMATS:
            return translate.plan(spec, options, context)
        with connected(self.timing) as api:
            limits = api.limits(options.model or spec.model)
            parent = _parent(api, options.from_checkpoint)
        if limits is None:
            raise _untrainable(spec, options, context)
        return translate.plan(spec, options, context._replace(limits=Limits.model_validate(limits), parent=parent))


def _is_text(spec: JobSpec) -> bool:
    """Whether the rows are plain text; by the first of them, where the spec does not say."""
    if spec.dataset.format != "auto":
        return spec.dataset.format == "text"
    if not all(is_local(path) for path in spec.dataset.paths):
        return False
    try:
        return next(iter(rows(spec.dataset, spec.method.type))).format == "text"
    except (DataError, StopIteration):  # the check of the rows reports what is wrong
        return False


def _parent(api: TogetherApi, checkpoint: str | None) -> str | None:
    """The base model of the job that a checkpoint is of."""
    if checkpoint is None:
        return None
    model = api.job(checkpoint.partition(":")[0]).get("model")
    return model if isinstance(model, str) else None


def _untrainable(spec: JobSpec, options: TogetherOptions, context: translate.TogetherContext) -> UnsupportedSpec:
    """The refusal of a model, together with all other problems."""
    name = options.model or spec.model
    problem = Problem(
        "model",
        f"Together does not fine-tune {name}, or has another name for it",
        "see https://docs.together.ai/docs/fine-tuning-models; backend_options.together.model takes Together's name",
    )
    try:
        translate.plan(spec, options, context)
    except UnsupportedSpec as error:
        return UnsupportedSpec("together", [problem, *error.problems])
    return UnsupportedSpec("together", [problem])
