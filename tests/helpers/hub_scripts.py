"""Scripts that Jobs of the Hub on this machine run instead of a real training."""

import json
import tempfile
import time
from pathlib import Path

from hub_service import Container, Service, end_job

__all__ = ["adapter", "end_job", "ending", "nothing", "send", "succeed"]

from ftsdk.artifact import Manifest, seal
from ftsdk.testing.weights import safetensors


def succeed(service: Service, job: Container) -> None:
    """Upload an adapter and complete."""
    for step in (1, 2):
        job.write_log(
            f'::ftsdk:: {{"kind": "metrics", "time": 1.0, "step": {step}, "metrics": {{"loss": {3.0 / step}}}}}\n'
        )
    send(service, job, {"state": "succeeded"}, adapter())
    end_job(job, "COMPLETED", None)


def adapter() -> dict[str, bytes]:
    """The files of a sealed adapter, by their place among the results."""
    with tempfile.TemporaryDirectory() as folder:
        config = {"peft_type": "LORA", "base_model_name_or_path": "/x/job/files/0/model", "r": 4}
        Path(folder, "adapter_config.json").write_text(json.dumps(config))
        Path(folder, "adapter_model.safetensors").write_bytes(safetensors({"lora_A.weight": (4, 8)}))
        seal(Path(folder), Manifest(kind="adapter", base_model="org/tiny", method="sft", job="hfjobs:inside"))
        return {f"artifact/{path.name}": path.read_bytes() for path in Path(folder).iterdir()}


def send(service: Service, job: Container, outcome: dict[str, object], files: dict[str, bytes] | None = None) -> None:
    """Commit results to the Job's repository."""
    repo = service.repos["model", job.request["volumes"][0]["source"]]
    contents = {"outcome.json": json.dumps(outcome).encode(), **(files or {})}
    repo.commit({f"result/{name}": content for name, content in contents.items()}, "ftsdk: results")


def nothing(service: Service, job: Container) -> None:
    """Run, and report progress, until the Job is ended."""
    number = 0
    while not job.done and not service.stopping.is_set():
        number += 1
        job.write_log(
            f'::ftsdk:: {{"kind": "progress", "step": {number}, "total_steps": 100000, "stage": "training"}}\n'
        )
        time.sleep(0.05)


def ending(stage: str, message: str | None, *lines: str):
    """Make a script that prints some lines and ends like this, without results."""

    def run(_: Service, job: Container) -> None:
        for line in lines:
            job.write_log(line)
        end_job(job, stage, message)

    return run
