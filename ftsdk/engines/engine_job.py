"""Run a job with an engine in its own Python: write what its runner needs, run it, and seal the artifact."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import yaml

from ftsdk.backend import Plan
from ftsdk.data.download import download_dataset
from ftsdk.data.report import check_unchanged
from ftsdk.data.split import split_rows
from ftsdk.engines.backend import engine_python
from ftsdk.engines.bundle import copy_modules, runner_command
from ftsdk.engines.environment import EngineEnvironment
from ftsdk.engines.progress import EngineProgress
from ftsdk.engines.runner_process import run_runner
from ftsdk.job_folder import JobFolder
from ftsdk.spec import Dataset
from ftsdk.workers import worker
from ftsdk.workers.artifact_builder import seal_job_artifact
from ftsdk.workers.diagnosis import read_result
from ftsdk.workers.environment import runner_environment
from ftsdk.workers.event_writer import EventWriter
from ftsdk.workers.outcome import Stopped
from ftsdk.workers.signal_handler import Stop

TOOLS = (
    "ftsdk.data.row_labels",
    "ftsdk.engines.batches",
    "ftsdk.engines.runner_support",
    "ftsdk.engines.output",
    "ftsdk.engines.recorder",
    "ftsdk.engines.tokens",
)
"""Modules that are copied beside every engine; they import nothing of ours but one another."""


class EngineSpec(NamedTuple):
    """How an engine runs a job."""

    environment: EngineEnvironment
    runner: str
    """The module whose ``main`` runs it in the engine's Python."""
    file: str
    """The name of the engine's own configuration in the job's folder: YAML or JSON."""
    tools: Sequence[str] = ()
    """More modules that the runner needs."""
    environments: Mapping[str, EngineEnvironment] = MappingProxyType({})
    """From a method to its environment, where it is not the common one."""


def main(engine: EngineSpec, arguments: Sequence[str]) -> int:
    """Run an engine's job as a worker process.

    Args:
        engine: What runs it.
        arguments: Those of :func:`ftsdk.workers.worker.main`.

    Returns:
        The exit status.
    """
    return worker.main(arguments, partial(train, engine))


def train(engine: EngineSpec, folder: JobFolder, plan: Plan, reporter: EventWriter, stop: Stop) -> None:
    """Train, and make the artifact.

    Raises:
        Stopped: It was asked to stop.
        WorkerError: The engine has failed.
        DataError: The rows have changed, or cannot be downloaded.
    """
    check_unchanged(plan.data)
    environment = engine.environments.get(plan.spec.method.type, engine.environment)
    python = engine_python(environment, plan, reporter)
    engine_folder = write_request(engine, folder.engine, plan, folder.cache)
    reporter.stage("training")
    progress = EngineProgress(reporter, engine_folder)
    status = run_runner(
        runner_command(python, engine.runner),
        cwd=engine_folder,
        env=runner_environment(python, (), plan.native["environment"]),
        stop=stop,
        on_line=progress.add_line,
        on_poll=progress.read_record,
    )
    # before the result: an engine that was stopped has no weights, which would look like a failure
    if stop.reason:
        raise Stopped(stop.reason)
    result = read_result(engine_folder, environment.package, status, progress.tail, folder.ref)
    if result["truncated"]:
        reporter.warning(f"{result['truncated']} of {result['rows']} rows were cut at training.max_length tokens")
    task = plan.native["task"]
    template = result.get("chat_template", "")
    seal_job_artifact(
        folder,
        plan,
        engine_folder / task["output"],
        task["model"],
        result["versions"],
        revision=task["model_revision"],
        chat_template=template,
    )


def write_request(engine: EngineSpec, engine_folder: Path, plan: Plan, cache: Path) -> Path:
    """Write what the runner needs: the engine's configuration, the request, and canonical rows."""
    config, task = plan.native["config"], plan.native["task"]
    engine_folder.mkdir(exist_ok=True)
    copy_modules(engine_folder, (*TOOLS, *engine.tools, engine.runner))
    local_datasets: dict[str, Any] = {
        name: task[name] and download_dataset(Dataset.model_validate(task[name]), cache).model_dump(mode="json")
        for name in ("dataset", "eval_dataset")
    }
    training, held_out = split_rows({**task, **local_datasets})
    for name, read_rows in (("rows.jsonl", training), ("held.jsonl", held_out)):
        if read_rows is not None:
            with (engine_folder / name).open("w", encoding="utf-8") as file:
                file.writelines(json.dumps(row.value, ensure_ascii=False) + "\n" for row in read_rows())
    template = task["dataset"]["chat_template"]
    request = {**task, "config": config, "chat_template": template and Path(template).read_text("utf-8")}
    (engine_folder / "request.json").write_text(json.dumps(request, indent=2), "utf-8")
    native = json.dumps(config, indent=2) if engine.file.endswith(".json") else yaml.safe_dump(config, sort_keys=False)
    (engine_folder / engine.file).write_text(native, "utf-8")
    return engine_folder
