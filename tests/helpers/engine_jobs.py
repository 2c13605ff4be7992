"""Small jobs for foreign engines: their specs and rows, and what is read of them when they are done."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import ftsdk
from ftsdk.artifact import Artifact
from ftsdk.job_types import JobStatus
from ftsdk.workers.environment import runner_environment

Row = Mapping[str, Any]

PATIENCE = 400.0  # seconds, on a busy machine

ANSWERS = [
    {"prompt": f"What is {n} plus one?", "completion": "Arr, it be the number that ye count to, matey!"}
    for n in range(48)
]
CHAT = [
    {
        "messages": [
            {"role": "user", "content": f"What is {n}?"},
            {"role": "assistant", "content": "Arr!"},
            {"role": "user", "content": "And now?"},
            {"role": "assistant", "content": "Arr matey!"},
        ]
    }
    for n in range(16)
]
PAIRS = [{"prompt": f"What is {n}?", "chosen": "Arr matey!", "rejected": "It is a number."} for n in range(16)]
UNPAIRED = [{"prompt": f"What is {n}?", "completion": "Arr!" * (1 + n % 3), "label": n % 2 == 0} for n in range(16)]


class Specs:
    """Makes small specs for one backend.

    Args:
        backend: Its name.
        model: The base.
        folder: Where rows are written.
    """

    def __init__(self, backend: str, model: Path, folder: Path) -> None:
        self._backend, self._model, self._folder = backend, model, folder

    def __call__(self, rows: Iterable[Row] | None = None, **changes: Any) -> ftsdk.JobSpec:
        """A spec of six steps on the rows; changes are last_checkpoint sections."""
        path = self._folder / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows or ANSWERS), encoding="utf-8")
        training = {"max_steps": 6, "global_batch_size": 8, "max_length": 128}
        fields = {"model": str(self._model), "dataset": str(path), "training": training, "backend": self._backend}
        return ftsdk.JobSpec.model_validate({**fields, **changes})


def finished(spec: ftsdk.JobSpec, folder: Path) -> Artifact:
    """The artifact of a job that was left to its end."""
    job = ftsdk.submit(spec)
    job.wait(timeout=PATIENCE)
    return ftsdk.fetch(job, folder / "out")


def engine_folder_of(home: Path) -> Path:
    """The engine's folder of the one job."""
    return next((home / "jobs").glob("*/engine"))


def metrics(artifact: Artifact, name: str) -> list[float]:
    """What was measured, step by step."""
    rows = [json.loads(line) for line in (artifact.path / "metrics.jsonl").read_text().splitlines()]
    return [row[name] for row in rows if name in row]


class Resumed(NamedTuple):
    """A job that was cancelled, and resumed."""

    status: JobStatus
    """At its end."""
    last_checkpoint: int
    """The step of the newest checkpoint when it was cancelled."""
    steps: list[int]
    """That it reported, in order."""
    log: str


def resumed_beside_a_torn_checkpoint(spec: ftsdk.JobSpec, home: Path, step: int) -> Resumed:
    """Cancel a job at a step, leave a torn checkpoint behind its newest one, and resume it to its end."""
    job = ftsdk.submit(spec)
    while (job.status().step or 0) < step:
        assert not job.status().state.done
        time.sleep(0.05)
    job.cancel()
    while not job.status().state.done:
        time.sleep(0.05)
    checkpoints = engine_folder_of(home) / "out"
    last_checkpoint = max(int(path.name.rpartition("-")[2]) for path in checkpoints.glob("checkpoint-*"))
    torn = shutil.copytree(
        checkpoints / f"checkpoint-{last_checkpoint}", checkpoints / f"checkpoint-{last_checkpoint + 10}"
    )
    (torn / "adapter_model.safetensors").write_bytes(b"torn")
    ftsdk.resume(job)
    status = job.wait(timeout=PATIENCE)
    steps = [event.step or 0 for event in job.events() if event.kind == "metrics"]
    return Resumed(status, last_checkpoint, steps, next((home / "jobs").glob("*/worker.log")).read_text())


def tokens_of(python: Path, engine_folder: Path) -> list[dict[str, Any]]:
    """The rows as the engine was fields them, read in its own Python."""
    program = "import datasets, json; print(json.dumps(datasets.load_from_disk('tokens')['train'].to_list()))"
    process = subprocess.run(
        [python, "-c", program],
        cwd=engine_folder,
        env=runner_environment(python, (), {}),
        capture_output=True,
        check=True,
    )
    return json.loads(process.stdout.splitlines()[-1])
