"""Do a job with an engine in its own Python: lay out what its runner needs, attend to it, seal what it makes."""

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
    "ftsdk.data.encoding",
    "ftsdk.engines.batches",
    "ftsdk.engines.runner_support",
    "ftsdk.engines.output",
    "ftsdk.engines.recorder",
    "ftsdk.engines.tokens",
)
"""What stands beside every engine."""


class EngineSpec(NamedTuple):
    """What does a job."""

    environment: EngineEnvironment
    runner: str
    """The module whose ``main`` does it in the engine's Python."""
    file: str
    """The name of the engine's own configuration in the job's folder: YAML or JSON."""
    tools: Sequence[str] = ()
    """More modules that the runner needs."""
    environments: Mapping[str, EngineEnvironment] = MappingProxyType({})
    """From a method to its environment, where it is another one."""


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
        Failure: The engine has failed.
        DataError: The rows were changed, or cannot be had.
    """
    check_unchanged(plan.data)
    environment = engine.environments.get(plan.spec.method.type, engine.environment)
    python = engine_python(environment, plan, reporter)
    desk = write_request(engine, folder.engine, plan, folder.cache)
    reporter.stage("training")
    progress = EngineProgress(reporter, desk)
    status = run_runner(
        runner_command(python, engine.runner),
        cwd=desk,
        env=runner_environment(python, (), plan.native["environment"]),
        stop=stop,
        on_line=progress.hear,
        on_poll=progress.look,
    )
    if stop.reason:
        raise Stopped(stop.reason)
    result = read_result(desk, environment.package, status, progress.tail, folder.ref)
    if result["truncated"]:
        reporter.warning(f"{result['truncated']} of {result['rows']} rows were cut at training.max_length tokens")
    task = plan.native["task"]
    template = result.get("chat_template", "")
    seal_job_artifact(
        folder,
        plan,
        desk / task["output"],
        task["model"],
        result["versions"],
        revision=task["model_revision"],
        chat_template=template,
    )


def write_request(engine: EngineSpec, desk: Path, plan: Plan, cache: Path) -> Path:
    """Lay out what the runner needs: the engine's configuration, what is more to know, and canonical rows."""
    config, task = plan.native["config"], plan.native["task"]
    desk.mkdir(exist_ok=True)
    copy_modules(desk, (*TOOLS, *engine.tools, engine.runner))
    here: dict[str, Any] = {
        name: task[name] and download_dataset(Dataset.model_validate(task[name]), cache).model_dump(mode="json")
        for name in ("dataset", "eval_dataset")
    }
    training, held_out = split_rows({**task, **here})
    for name, read in (("rows.jsonl", training), ("held.jsonl", held_out)):
        if read is not None:
            with (desk / name).open("w", encoding="utf-8") as file:
                file.writelines(json.dumps(row.value, ensure_ascii=False) + "\n" for row in read())
    template = task["dataset"]["chat_template"]
    request = {**task, "config": config, "chat_template": template and Path(template).read_text("utf-8")}
    (desk / "request.json").write_text(json.dumps(request, indent=2), "utf-8")
    native = json.dumps(config, indent=2) if engine.file.endswith(".json") else yaml.safe_dump(config, sort_keys=False)
    (desk / engine.file).write_text(native, "utf-8")
    return desk
