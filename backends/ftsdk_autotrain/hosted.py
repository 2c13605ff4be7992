"""The request and the reports of AutoTrain at Hugging Face; its YAML and its runner are those of this machine."""

import functools
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftsdk.artifact import Manifest
from ftsdk.artifact.model_files import artifact_kind
from ftsdk.backend import Plan, Record
from ftsdk.data.report import check_unchanged
from ftsdk.engines.bundle import runner_arguments
from ftsdk.errors import JobNotFound
from ftsdk.huggingface.connection import Hub
from ftsdk.huggingface.container import LOG_PREFIX, TASK, WORK_FILES, ContainerTask
from ftsdk.huggingface.execution import RemoteExecution
from ftsdk.huggingface.pricing import SETUP
from ftsdk.huggingface.reports import LineParser, LogEntry, ReportReader
from ftsdk.huggingface.results import JobResult, download, read_log_copy, read_task
from ftsdk.huggingface.staging import Contents, make_repository, open_settings, repository
from ftsdk.job_types import JobState, Reason, job_id
from ftsdk.redact import redact
from ftsdk.workers.artifact_builder import build_artifact
from ftsdk.workers.diagnosis import diagnose
from ftsdk.workers.metrics import Metrics
from ftsdk.workers.outcome import Outcome, failed
from ftsdk_autotrain.engine import ENGINE_ENVIRONMENT
from ftsdk_autotrain.log_parser import AutoTrainLog
from ftsdk_autotrain.request import RUNNER, write_request

_ID_LENGTH = 10  # of the token's end, in names

_CHECK = (
    "import sys, importlib.metadata as m, importlib.util as u;"
    f"sys.exit(m.version('{ENGINE_ENVIRONMENT.package}') != '{ENGINE_ENVIRONMENT.version}'"
    " or u.find_spec('huggingface_hub') is None)"
)
_EXCLUDED = ["autotrain-data", "checkpoint-*", "runs", "*.bin", "*.pt", "*.pth", "README.md"]
"""Files that AutoTrain writes beside a model."""


@dataclass(frozen=True, kw_only=True)
class AutoTrainTask(ContainerTask):
    """The container's task, with what reading its log and fetching the artifact need."""

    logging_steps: int
    """Optimizer steps between two lines of metrics in the log."""
    manifest: Mapping[str, Any]
    """The part of the artifact's manifest that is known beforehand."""


def make_store(hub: Hub, plan: Plan, token: str, record: Record) -> str:
    """Create the job's repository, once the rows are found unchanged.

    Raises:
        DataError: The rows were changed since the plan.
    """
    check_unchanged(plan.data)
    store = store_name(plan, token)
    make_repository(hub, store)
    record(repository=store)
    return store


def store_name(plan: Plan, token: str) -> str:
    """The name of the job's repository; its Space has the same one."""
    return repository(plan.native["namespace"], job_id(plan.spec.method.type, token, _ID_LENGTH))


def request_contents(plan: Plan, store: str, folder: Path) -> Contents:
    """The files of the job's request, by their names in the repository's folder.

    Args:
        plan: The plan.
        store: The job's repository.
        folder: An empty folder; it holds some of the files, and must stay until they are uploaded.
    """
    return {
        TASK: container_task(plan, store).to_json(),
        ENGINE_ENVIRONMENT.lock.name: ENGINE_ENVIRONMENT.lock,
        WORK_FILES: write_request(folder / WORK_FILES, plan, folder / "cache"),
    }


def container_task(plan: Plan, store: str) -> AutoTrainTask:
    """The task of the container.

    Args:
        plan: The plan.
        store: The job's repository.
    """
    config = plan.native["config"]
    return AutoTrainTask(
        repo=store,
        code=None,  # the runner and its modules are among the work files
        check=_CHECK,
        python=ENGINE_ENVIRONMENT.python,
        lock=ENGINE_ENVIRONMENT.lock.name,
        command=runner_arguments(RUNNER),
        placed=[],
        events="",
        heartbeat="",
        outcome="result.json",
        product=config["project_name"],
        keep=[],
        seconds=plan.native["seconds"] - SETUP // 2,  # the machine's own limit comes later, and kills without a word
        pause=plan.native["executor"] == "spaces",
        leave=_EXCLUDED,
        logging_steps=int(config["params"]["logging_steps"]),
        manifest={
            "base_model": config["base_model"],
            "base_model_revision": plan.native["rows"]["model_revision"],
            "method": plan.spec.method.type,
            "spec": plan.spec.as_written(),
            "plan": dict(plan.native),
            "data": plan.data.sha256 if plan.data else {},
        },
    )


def environment(plan: Plan) -> dict[str, str]:
    """The container's environment without secrets."""
    return {**open_settings(), **plan.native["environment"]}


def report_reader(hub: Hub, execution: RemoteExecution) -> ReportReader:
    """The reader of AutoTrain's log and of its runner's outcome."""

    def line_parser() -> LineParser:
        return functools.partial(_log_entry, AutoTrainLog(_find_task(hub, execution).logging_steps))

    return ReportReader(line_parser, functools.partial(_read_outcome, hub))


def fetch_artifact(hub: Hub, result: JobResult, ref: str, folder: Path) -> None:
    """Download AutoTrain's output, and build the artifact in ftsdk's one layout.

    Args:
        hub: The connection.
        result: The job's results.
        ref: The job, for the manifest.
        folder: An empty folder.

    Raises:
        JobNotFound: The job was not submitted by this backend.
        ArtifactError: The output is damaged or unsafe.
    """
    task = read_task(hub, result.repository, AutoTrainTask)
    if task is None:
        raise JobNotFound(f"{ref} was not submitted by this backend", hint="ftsdk jobs lists yours")
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        source = Path(temporary)
        download(hub, result, source)
        manifest = Manifest.model_validate(
            {**task.manifest, "kind": artifact_kind(source), "versions": result.outcome["versions"], "job": ref}
        )
        build_artifact(source, folder, _metrics(hub, result, task), manifest)


def _find_task(hub: Hub, execution: RemoteExecution) -> AutoTrainTask:
    """The container's task.

    Raises:
        JobNotFound: This backend did not start it.
    """
    store = execution.inspect().repository
    task = read_task(hub, store, AutoTrainTask) if store else None
    if task is None:
        raise JobNotFound(f"{execution.title} exists, but ftsdk did not create it with AutoTrain", hint="ftsdk jobs")
    return task


def _log_entry(log: AutoTrainLog, line: str) -> LogEntry | None:
    parsed = log.parse(line)
    if parsed.step is not None:
        return LogEntry("metrics", step=parsed.step, metrics=parsed.metrics)
    if bar := parsed.bar:
        return LogEntry("progress", step=bar.step, total_steps=bar.total, eta_seconds=bar.seconds_left)
    return None if parsed.is_bar else LogEntry("log", redact(line))


def _read_outcome(hub: Hub, result: JobResult) -> Outcome:
    """How the job ended, by its runner; where the runner names no reason, by AutoTrain's log."""
    outcome = result.outcome
    state = JobState(outcome["state"])
    if state is not JobState.FAILED:
        return Outcome(state=state)
    # The runner writes "kind", the container "reason": where its time was over, for example.
    reason, message = outcome.get("reason") or outcome.get("kind"), str(outcome.get("message") or "")
    if reason:
        return failed(Reason(reason), message, "see the log: ftsdk logs")
    lines = [line for _, line in read_log_copy(hub, result) if not line.startswith(LOG_PREFIX)]
    failure = diagnose(lines, message)
    return failed(failure.reason, failure.message, failure.hint)


def _metrics(hub: Hub, result: JobResult, task: AutoTrainTask) -> Metrics:
    """All metrics of the log; AutoTrain itself keeps no file of them."""
    log, metrics = AutoTrainLog(task.logging_steps), Metrics()
    for _, line in read_log_copy(hub, result):
        parsed = log.parse(line)
        if parsed.step is not None:
            metrics.setdefault(parsed.step, {}).update(parsed.metrics)
    return metrics
