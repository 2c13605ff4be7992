"""The Replicate backend: a training by a trainer that the user brings."""

import json
import os
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from ftsdk.artifact import Artifact
from ftsdk.backend import Backend, Capabilities, Options, Plan, Record
from ftsdk.errors import ConfigError, Problem, UnsupportedSpec
from ftsdk.job_types import Event, JobStatus
from ftsdk.remote.retries import Timeouts
from ftsdk.spec import JobSpec
from ftsdk_replicate import fetch, monitor, submit, translate
from ftsdk_replicate.api import TOKEN, Api, Json, connected
from ftsdk_replicate.mapping import SECTION
from ftsdk_replicate.options import ReplicateOptions
from ftsdk_replicate.profile import Profile, read_profile
from ftsdk_replicate.translate import NAME, Known

__all__ = ["ReplicateBackend"]


class ReplicateBackend(Backend):
    """A training at Replicate on the user's own trainer, never paid twice, with nothing ignored in silence.

    Args:
        timing: How long calls and pauses may take.
    """

    name = NAME
    Options: ClassVar[type[Options]] = ReplicateOptions

    def __init__(self, timing: Timeouts = Timeouts()) -> None:  # noqa: B008 - an immutable value
        self._timing = timing
        self.pause = timing.look

    def capabilities(self) -> Capabilities:
        """What a trainer may do that has an input for each thing; a plan asks the one trainer."""
        return Capabilities(
            methods=frozenset({"sft", "dpo"}),
            adapters=frozenset({"lora"}),
            quantizations=frozenset({"nf4", "int8"}),
            formats=translate.FORMATS,
            verbs=frozenset({"events", "metrics", "cancel", "fetch"}),
            costs_money=True,
        )

    def check(self) -> list[Problem]:
        """The client and the token."""
        problems = []
        if find_spec("replicate") is None:
            problems.append(Problem("replicate", "is not installed", "pip install 'ftsdk[replicate]'"))
        if not os.environ.get(TOKEN):
            problems.append(Problem(TOKEN, "is not set", "make one at https://replicate.com/account/api-tokens"))
        return problems

    def plan(self, spec: JobSpec, options: Any) -> Plan:
        """Replicate's request, held against what the trainer says of its inputs. Nothing is sent but questions.

        Raises:
            UnsupportedSpec: With every field that the trainer cannot honour.
            AuthError: There is no token, or it is wrong.
            UnreachableError: Replicate does not answer.
        """
        profile = read_profile(options.profile) if options.profile else Profile()
        keys = frozenset(name for name, value in os.environ.items() if value)
        if options.trainer is None:
            what = "Replicate has no trainer of language models of its own today: bring yours"
            raise UnsupportedSpec(NAME, [Problem(f"{SECTION}.trainer", what, "owner/name:version")])
        with connected(self._timing) as api:
            version, document = _look_up(api, options)
        return translate.plan(spec, options, Known(version, document, profile, keys))

    def submit(self, plan: Plan, token: str, record: Record) -> str:
        """See to the destination, upload the rows, create once."""
        with connected(self._timing) as api:
            return submit.submit(api, plan, token, record)

    def find(self, token: str, plan: Plan) -> str | None:
        """Look for the address of the rows in the inputs of all trainings."""
        with connected(self._timing) as api:
            return submit.find(api, plan, token)

    def status(self, native_id: str) -> JobStatus:
        """Ask for the training."""
        with connected(self._timing) as api:
            return monitor.status(api, native_id)

    def events(self, native_id: str, after: str | None = None) -> Iterable[Event]:
        """States, and what the log has grown by."""
        with connected(self._timing) as api:
            return list(monitor.events(api, native_id, after))

    def cancel(self, native_id: str) -> None:
        """Ask the training to stop; what it has run until then is paid."""
        with connected(self._timing) as api:
            monitor.cancel(api, native_id)

    def fetch(self, native_id: str, folder: Path) -> Artifact:
        """The weights that the training made."""
        with connected(self._timing) as api:
            return fetch.fetch(api, native_id, folder, convert_pickle=bool(os.environ.get(fetch.CONVERT)))


def _look_up(api: Api, options: ReplicateOptions) -> tuple[str, Json | None]:
    """The trainer's version, and the document that tells its inputs."""
    trainer, _, version = str(options.trainer).partition(":")
    doing = "tell about the trainer"
    if not version:
        newest = (api.found(f"/v1/models/{trainer}", doing) or {}).get("latest_version")
        version = str(newest.get("id") or "") if isinstance(newest, dict) else ""
    found = api.found(f"/v1/models/{trainer}/versions/{version}", doing) if version else None
    if found is None:
        what = f"Replicate knows no {options.trainer}, or has no version of it that is enabled"
        raise UnsupportedSpec(NAME, [Problem(f"{SECTION}.trainer", what, "see replicate.com, or bring your own")])
    if options.assume_schema is not None:
        return version, _assumed(options.assume_schema)
    document = found.get("openapi_schema")
    return version, document if isinstance(document, dict) else None


def _assumed(path: str) -> Json:
    where = f"{SECTION}.assume_schema={path}"
    try:
        found: Any = json.loads(Path(path).expanduser().read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{where} cannot be read: {error.strerror}", hint="give a JSON file") from error
    except ValueError as error:
        raise ConfigError(f"{where} is no JSON: {error}", hint="give the trainer's TrainingInput") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{where} is no JSON object", hint="give the trainer's TrainingInput")
    return found
