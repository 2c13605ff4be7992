"""The process that does an AutoTrain job on this machine: ``python -P -m ftsdk_autotrain.worker FOLDER``."""

import sys

from ftsdk.backend import Plan
from ftsdk.engines.backend import engine_python
from ftsdk.engines.bundle import runner_command
from ftsdk.engines.runner_process import run_runner
from ftsdk.job_folder import JobFolder
from ftsdk.workers import worker
from ftsdk.workers.artifact_builder import seal_job_artifact
from ftsdk.workers.diagnosis import read_result
from ftsdk.workers.environment import runner_environment
from ftsdk.workers.event_writer import EventWriter
from ftsdk.workers.outcome import Stopped
from ftsdk.workers.signal_handler import Stop
from ftsdk_autotrain.installation import ENGINE_ENVIRONMENT
from ftsdk_autotrain.progress import Progress
from ftsdk_autotrain.request import RUNNER, write_request


def run(folder: JobFolder, plan: Plan, reporter: EventWriter, stop: Stop) -> None:
    """Train."""
    python = engine_python(ENGINE_ENVIRONMENT, plan, reporter)
    desk = write_request(folder.engine, plan, folder.cache)
    reporter.stage("training")
    progress = Progress(reporter, int(plan.native["config"]["params"]["logging_steps"]))
    status = run_runner(
        runner_command(python, RUNNER),
        cwd=desk,
        env=runner_environment(python, plan.spec.report_to, plan.native["environment"]),
        stop=stop,
        on_line=progress.hear,
    )
    if stop.reason:
        raise Stopped(stop.reason)
    result = read_result(desk, ENGINE_ENVIRONMENT.package, status, progress.tail, folder.ref)
    if result.get("left_out"):
        reporter.warning(f"{result['left_out']} pairs are longer than training.max_length, and were left out")
    if result.get("repaired"):
        reporter.warning(
            f"AutoTrain saved untrained embeddings with the adapter; {len(result['repaired'])} were taken out"
        )
    config, revision = plan.native["config"], plan.native["rows"]["model_revision"]
    source = desk / config["project_name"]
    seal_job_artifact(folder, plan, source, config["base_model"], result["versions"], revision=revision)


if __name__ == "__main__":
    sys.exit(worker.main(sys.argv[1:], run))
