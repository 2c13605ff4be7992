"""The Replicate backend: a training by the user's own trainer."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from ftsdk.backend import Capabilities, Options, Plan
from ftsdk.errors import ConfigError, Problem, UnsupportedSpec
from ftsdk.remote.backend import RemoteBackend
from ftsdk.spec import JobSpec
from ftsdk_replicate import translate
from ftsdk_replicate.api import TOKEN, Json, ReplicateApi, connected
from ftsdk_replicate.mapping import SECTION
from ftsdk_replicate.options import ReplicateOptions
from ftsdk_replicate.profile import Profile, read_profile
from ftsdk_replicate.service import ReplicateService
from ftsdk_replicate.translate import NAME, ReplicateContext

__all__ = ["ReplicateBackend"]


class ReplicateBackend(RemoteBackend):
    """A training at Replicate on the user's own trainer, never paid twice, with nothing ignored in silence."""

    name = NAME
    Options: ClassVar[type[Options]] = ReplicateOptions
    client_package = "replicate"
    api_key = TOKEN
    api_key_hint = "make one at https://replicate.com/account/api-tokens"

    @contextmanager
    def connect(self) -> Iterator[ReplicateService]:
        """Replicate, through our own connection and its client."""
        with connected(self.timing) as api:
            yield ReplicateService(api)

    def capabilities(self) -> Capabilities:
        """What a trainer with an input for each feature can do; a plan asks the one trainer."""
        return Capabilities(
            methods=frozenset({"sft", "dpo"}),
            adapters=frozenset({"lora"}),
            quantizations=frozenset({"nf4", "int8"}),
            formats=translate.FORMATS,
            verbs=frozenset({"events", "metrics", "cancel", "fetch"}),
            costs_money=True,
        )

    def plan(self, spec: JobSpec, options: Any) -> Plan:
        """Replicate's request, checked against the trainer's own inputs. Nothing is sent but questions.

        Raises:
            UnsupportedSpec: With every field that the trainer cannot honour.
            AuthError: There is no token, or it is wrong.
            UnreachableError: Replicate does not answer.
        """
        profile = read_profile(options.profile) if options.profile else Profile()
        keys = frozenset(name for name, value in os.environ.items() if value)
        if options.trainer is None:
            reason = "Replicate has no trainer of language models of its own today: name yours"
            raise UnsupportedSpec(NAME, [Problem(f"{SECTION}.trainer", reason, "owner/name:version")])
        with connected(self.timing) as api:
            version, document = _look_up(api, options)
        return translate.plan(spec, options, ReplicateContext(version, document, profile, keys))


def _look_up(api: ReplicateApi, options: ReplicateOptions) -> tuple[str, Json | None]:
    """The trainer's version, and the document that describes its inputs."""
    trainer, _, version = str(options.trainer).partition(":")
    action = "describe the trainer"
    if not version:
        newest = (api.get_or_none(f"/v1/models/{trainer}", action) or {}).get("latest_version")
        version = str(newest.get("id") or "") if isinstance(newest, dict) else ""
    description = api.get_or_none(f"/v1/models/{trainer}/versions/{version}", action) if version else None
    if description is None:
        reason = f"Replicate has no {options.trainer}, or no version of it that is enabled"
        raise UnsupportedSpec(NAME, [Problem(f"{SECTION}.trainer", reason, "see replicate.com, or publish your own")])
    if options.assume_schema is not None:
        return version, _assumed_schema(options.assume_schema)
    document = description.get("openapi_schema")
    return version, document if isinstance(document, dict) else None


def _assumed_schema(path: str) -> Json:
    where = f"{SECTION}.assume_schema={path}"
    try:
        schema: Any = json.loads(Path(path).expanduser().read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{where} cannot be read: {error.strerror}", hint="give a JSON file") from error
    except ValueError as error:
        raise ConfigError(f"{where} is no JSON: {error}", hint="give the trainer's TrainingInput") from error
    if not isinstance(schema, dict):
        raise ConfigError(f"{where} is no JSON object", hint="give the trainer's TrainingInput")
    return schema
