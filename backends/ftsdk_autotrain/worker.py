"""The process of an AutoTrain job on this machine: ``python -P -m ftsdk_autotrain.worker FOLDER``."""

import sys
from collections import deque

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
from ftsdk_autotrain.engine import ENGINE_ENVIRONMENT
from ftsdk_autotrain.log_parser import AutoTrainLog
from ftsdk_autotrain.request import RUNNER, write_request

_TAIL = 200  # lines of output that a failure is diagnosed from


class OutputReporter:
    """Reports each line of AutoTrain's output: as metrics, progress, or a line of log.

    Args:
        event_writer: Receives the events.
        logging_steps: Optimizer steps between two lines of metrics.
    """

    def __init__(self, event_writer: EventWriter, logging_steps: int) -> None:
        self._event_writer = event_writer
        self._log = AutoTrainLog(logging_steps)
        self._tail: deque[str] = deque(maxlen=_TAIL)

    @property
    def tail(self) -> list[str]:
        """The last lines."""
        return list(self._tail)

    def report(self, line: str) -> None:
        """Report one line."""
        parsed = self._log.parse(line)
        if not parsed.is_bar:
            self._tail.append(line)
            print(line)  # noqa: T201 - the worker's log
            self._event_writer.log(line)
        if parsed.bar:
            self._event_writer.progress(parsed.bar.step, parsed.bar.total, parsed.bar.seconds_left)
        if parsed.step is not None:
            self._event_writer.metrics(parsed.step, parsed.metrics)


def run(folder: JobFolder, plan: Plan, event_writer: EventWriter, stop: Stop) -> None:
    """Train."""
    python = engine_python(ENGINE_ENVIRONMENT, plan, event_writer)
    engine_folder = write_request(folder.engine, plan, folder.cache)
    event_writer.stage("training")
    reporter = OutputReporter(event_writer, int(plan.native["config"]["params"]["logging_steps"]))
    status = run_runner(
        runner_command(python, RUNNER),
        cwd=engine_folder,
        env=runner_environment(python, plan.spec.report_to, plan.native["environment"]),
        stop=stop,
        on_line=reporter.report,
    )
    if stop.reason:
        raise Stopped(stop.reason)
    result = read_result(engine_folder, ENGINE_ENVIRONMENT.package, status, reporter.tail, folder.ref)
    if result.get("left_out"):
        event_writer.warning(f"{result['left_out']} pairs are longer than training.max_length, and were left out")
    if result.get("repaired"):
        event_writer.warning(
            f"AutoTrain saved untrained embeddings with the adapter; {len(result['repaired'])} were removed"
        )
    config, revision = plan.native["config"], plan.native["rows"]["model_revision"]
    source = engine_folder / config["project_name"]
    seal_job_artifact(folder, plan, source, config["base_model"], result["versions"], revision=revision)


if __name__ == "__main__":
    sys.exit(worker.main(sys.argv[1:], run))
