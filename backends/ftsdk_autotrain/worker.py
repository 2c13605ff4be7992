"""The process that does an AutoTrain job on this machine: ``python -P -m ftsdk_autotrain.worker FOLDER``."""

import json
import sys
from pathlib import Path
from typing import Any

from ftsdk.backend import Plan
from ftsdk.job import Reason
from ftsdk.kit.environment import guest_environment
from ftsdk.kit.jobs import worker
from ftsdk.kit.jobs.diagnosis import diagnose
from ftsdk.kit.jobs.engines import engine_python
from ftsdk.kit.jobs.folder import JobFolder
from ftsdk.kit.jobs.guest import run_guest
from ftsdk.kit.jobs.outcome import Failure, Stopped
from ftsdk.kit.jobs.product import seal_product
from ftsdk.kit.jobs.report import Reporter
from ftsdk.kit.jobs.stop import Stop
from ftsdk_autotrain import runner
from ftsdk_autotrain.installation import HOUSE
from ftsdk_autotrain.progress import Progress
from ftsdk_autotrain.request import write_request


def run(folder: JobFolder, plan: Plan, reporter: Reporter, stop: Stop) -> None:
    """Train."""
    python = engine_python(HOUSE, plan, reporter)
    desk = write_request(folder.engine, plan, folder.cache)
    reporter.stage("training")
    progress = Progress(reporter, int(plan.native["config"]["params"]["logging_steps"]))
    status = run_guest(
        [str(python), "-I", runner.__file__, str(desk)],
        cwd=desk,
        env=guest_environment(python, plan.spec.report_to, plan.native["environment"]),
        stop=stop,
        hear=progress.hear,
    )
    if stop.why:
        raise Stopped(stop.why)
    result = read_result(desk, status, progress.tail)
    if result.get("left_out"):
        reporter.warning(f"{result['left_out']} pairs are longer than training.max_length, and were left out")
    if result.get("repaired"):
        reporter.warning(
            f"AutoTrain saved untrained embeddings with the adapter; {len(result['repaired'])} were taken out"
        )
    config = plan.native["config"]
    seal_product(folder, plan, desk / config["project_name"], config["base_model"], result["versions"])


def read_result(desk: Path, status: int, tail: list[str]) -> dict[str, Any]:
    """What the runner found.

    Raises:
        Failure: The job has failed.
    """
    path = desk / "result.json"
    if not path.is_file():
        raise diagnose([*tail, f"error: AutoTrain's process ended with {status} and left no result"])
    result: dict[str, Any] = json.loads(path.read_text("utf-8"))
    if result["state"] == "succeeded":
        return result
    if result["kind"]:
        raise Failure(Reason(result["kind"]), result["message"], "the log tells more: ftsdk logs")
    raise diagnose(tail, result["message"])


if __name__ == "__main__":
    sys.exit(worker.main(sys.argv[1:], run))
