"""AutoTrain at Hugging Face: on a Job, or in a Docker Space. The same YAML and the same runner as on this machine."""

import functools
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ftsdk.artifact import Artifact, Manifest, place
from ftsdk.artifact.model_files import artifact_kind
from ftsdk.backend import Plan, Record
from ftsdk.data.report import check_unchanged
from ftsdk.engines.bundle import runner_arguments
from ftsdk.errors import JobNotFound, JobNotReady
from ftsdk.huggingface import jobs, spaces
from ftsdk.huggingface.connection import Hub
from ftsdk.huggingface.container import MARK
from ftsdk.huggingface.execution import RemoteExecution
from ftsdk.huggingface.monitor import Fields, LogParser, status
from ftsdk.huggingface.pricing import SETUP
from ftsdk.huggingface.results import Result, bring, log_of, result_of, task_of
from ftsdk.huggingface.staging import TASK, Contents, make_repository, open_settings, repository, stage
from ftsdk.job_types import JobState, Reason, job_id
from ftsdk.redact import redact
from ftsdk.workers.artifact_builder import build_artifact
from ftsdk.workers.diagnosis import diagnose
from ftsdk.workers.metrics import Metrics
from ftsdk.workers.outcome import Outcome, failed
from ftsdk_autotrain.installation import ENGINE_ENVIRONMENT
from ftsdk_autotrain.progress import AutoTrainLog
from ftsdk_autotrain.request import RUNNER, write_request

_ID_LENGTH = 10  # of the token's end, in names
_JOB, _SPACE = "jobs/", "spaces/"
"""Begin the native ids of hosted jobs, as on Hugging Face's own pages."""

_CHECK = (
    "import sys, importlib.metadata as m, importlib.util as u;"
    f"sys.exit(m.version('{ENGINE_ENVIRONMENT.package}') != '{ENGINE_ENVIRONMENT.version}'"
    " or u.find_spec('huggingface_hub') is None)"
)
_LEFT = ["autotrain-data", "checkpoint-*", "runs", "*.bin", "*.pt", "*.pth", "README.md"]
"""What AutoTrain writes beside a model."""


def is_hosted(native_id: str) -> bool:
    """Whether a job runs at Hugging Face."""
    return native_id.startswith((_JOB, _SPACE))


def submit(hub: Hub, plan: Plan, token: str, record: Record) -> str:
    """See :meth:`ftsdk.backend.Backend.submit`."""
    if earlier := find(hub, plan, token):
        return earlier
    check_unchanged(plan.data)
    store = _store(plan, token)
    make_repository(hub, store)
    record(repository=store)
    with tempfile.TemporaryDirectory(prefix="ftsdk-autotrain-") as folder:
        desk = write_request(Path(folder) / "desk", plan, Path(folder) / "cache")
        contents = _contents(plan, store, desk)
        if plan.native["executor"] == "spaces":
            stage(hub, store, {TASK: contents[TASK]})
            spaces.create(hub, _space(plan, store), contents)
            return f"{_SPACE}{store}"
        revision = stage(hub, store, contents)
    record(revision=revision)
    order = jobs.Order.of(plan.native, _environment(plan), store, revision)
    return f"{_JOB}{jobs.create(hub, plan, token, order, record)}"


def find(hub: Hub, plan: Plan, token: str) -> str | None:
    """The job with this token; None: it is certain that there is none."""
    if plan.native["executor"] == "spaces":
        store = _store(plan, token)
        return f"{_SPACE}{store}" if spaces.find(hub, store) else None
    found = jobs.find(hub, plan, plan.native["namespace"], token)
    return found and f"{_JOB}{found}"


def carrier_of(hub: Hub, native_id: str) -> RemoteExecution:
    """The Job or the Space.

    Raises:
        JobNotFound: The id is none of a hosted job.
    """
    if native_id.startswith(_JOB):
        return jobs.JobExecution(hub, native_id.removeprefix(_JOB))
    if native_id.startswith(_SPACE):
        return spaces.SpaceExecution(hub, native_id.removeprefix(_SPACE))
    raise JobNotFound(f"{native_id!r} is no hosted AutoTrain job", hint="ftsdk jobs lists yours")


def tongue(hub: Hub, carrier: RemoteExecution) -> LogParser:
    """AutoTrain's words from inside a Job or a Space."""

    def hear() -> Callable[[str], Fields | None]:
        return functools.partial(_meaning, AutoTrainLog(_task(hub, carrier)["logging_steps"]))

    return LogParser(hear, functools.partial(_read, hub))


def fetch(hub: Hub, carrier: RemoteExecution, ref: str, folder: Path) -> Artifact:
    """Bring what AutoTrain made, in ftsdk's one layout.

    Raises:
        JobNotReady: The job has made nothing, or nothing yet.
        ArtifactError: What came is damaged or unsafe.
    """
    now = status(hub, carrier, tongue(hub, carrier))
    result = result_of(hub, carrier.look().repository) if now.state is JobState.SUCCEEDED else None
    if result is None:
        raise JobNotReady(f"{ref} is {now.state.value}: it has made nothing yet", ref=ref, hint=now.hint)
    return place(functools.partial(_fill, hub, result, ref), folder)


def _task(hub: Hub, carrier: RemoteExecution) -> dict[str, Any]:
    """What the container was told.

    Raises:
        JobNotFound: It is none of ours.
    """
    store = carrier.look().repository
    task = task_of(hub, store) if store else {}
    if "logging_steps" not in task:
        raise JobNotFound(f"{carrier.title} is there, but ftsdk did not make it with AutoTrain", hint="ftsdk jobs")
    return task


def _store(plan: Plan, token: str) -> str:
    return repository(plan.native["namespace"], job_id(plan.spec.method.type, token, _ID_LENGTH))


def _contents(plan: Plan, store: str, desk: Path) -> Contents:
    config = plan.native["config"]
    task = {
        "repo": store,
        "code": None,
        "check": _CHECK,
        "python": ENGINE_ENVIRONMENT.python,
        "lock": ENGINE_ENVIRONMENT.lock.name,
        "command": runner_arguments(RUNNER),
        "placed": [],
        "events": "",
        "heartbeat": "",
        "outcome": "result.json",
        "product": config["project_name"],
        "leave": _LEFT,
        "keep": [],
        "seconds": plan.native["seconds"] - SETUP // 2,
        "pause": plan.native["executor"] == "spaces",
        "logging_steps": int(config["params"]["logging_steps"]),
        "manifest": {
            "base_model": config["base_model"],
            "base_model_revision": plan.native["rows"]["model_revision"],
            "method": plan.spec.method.type,
            "spec": plan.spec.as_written(),
            "plan": dict(plan.native),
            "data": plan.data.sha256 if plan.data else {},
        },
    }
    return {
        TASK: json.dumps(task, indent=2),
        ENGINE_ENVIRONMENT.lock.name: ENGINE_ENVIRONMENT.lock,
        "desk": desk,
    }


def _environment(plan: Plan) -> dict[str, str]:
    return {**open_settings(), **plan.native["environment"]}


def _space(plan: Plan, store: str) -> spaces.Order:
    native = plan.native
    return spaces.Order(
        name=store,
        image=native["image"],
        hardware=native["flavor"],
        sleep_seconds=native["seconds"],
        environment=_environment(plan),
        secrets=native["secrets"],
    )


def _meaning(log: AutoTrainLog, line: str) -> Fields | None:
    heard = log.hear(line)
    if heard.step is not None:
        return {"kind": "metrics", "step": heard.step, "metrics": heard.values}
    if heard.bar:
        told = {"step": heard.bar.step, "total_steps": heard.bar.total, "eta_seconds": heard.bar.left}
        return {"kind": "progress", **told}
    return None if heard.is_bar else {"kind": "log", "message": redact(line)}


def _read(hub: Hub, result: Result) -> Outcome:
    """How the runner says that it ended; where only AutoTrain's log tells why, by that."""
    told = result.outcome
    state = JobState(told["state"])
    if state is not JobState.FAILED:
        return Outcome(state=state)
    reason, message = told.get("reason") or told.get("kind"), str(told.get("message") or "")
    if reason:
        return failed(Reason(reason), message, "the log tells more: ftsdk logs")
    found = diagnose([line for _, line in log_of(hub, result) if not line.startswith(MARK)], message)
    return failed(found.reason, found.message, found.hint)


def _fill(hub: Hub, result: Result, ref: str, folder: Path) -> None:
    task = task_of(hub, result.repository)
    with tempfile.TemporaryDirectory(dir=folder.parent) as aside:
        source = Path(aside)
        bring(hub, result, source)
        manifest = Manifest.model_validate(
            {**task["manifest"], "kind": artifact_kind(source), "versions": result.outcome["versions"], "job": ref}
        )
        build_artifact(source, folder, _metrics(hub, result, task), manifest)


def _metrics(hub: Hub, result: Result, task: dict[str, Any]) -> Metrics:
    log, found = AutoTrainLog(task["logging_steps"]), Metrics()
    for _, line in log_of(hub, result):
        heard = log.hear(line)
        if heard.step is not None:
            found.setdefault(heard.step, {}).update(heard.values)
    return found
