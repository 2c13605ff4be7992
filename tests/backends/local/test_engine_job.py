"""Whole jobs with the real engine through the public verbs: killed, cancelled, queued, short of time and memory."""

import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

import ftsdk
from ftsdk.artifact import Artifact
from ftsdk.errors import DataError, JobCancelled, JobFailed, UnsupportedSpec
from ftsdk.files import sha256
from ftsdk.job_folder import JobFolder, jobs_root
from ftsdk.job_types import JobState, Reason
from ftsdk.workers.attempt import latest_attempt
from ftsdk_local.train.common.checkpoint import newest_sealed

pytestmark = pytest.mark.engine

STEPS = 20
LONG = 300.0  # seconds; a busy machine takes its time to import the engine


@pytest.fixture(scope="module")
def make_spec(tmp_path_factory, tiny_model):
    """A short QLoRA job on the CPU, with dropout, over two epochs and a half; changes are sections as dicts."""
    rows = tmp_path_factory.mktemp("data") / "rows.jsonl"
    write(rows, [f"Arr, it be {number}, matey!" for number in range(64)])

    def make(**changes):
        base = {
            "model": str(tiny_model),
            "dataset": str(rows),
            "adapter": {"dropout": 0.1},
            "training": {"max_steps": STEPS, "global_batch_size": 8, "learning_rate": 1e-3, "save_steps": 2},
            "compute": {"quantization": "nf4"},
            "backend_options": {"local": {"device": "cpu", "grace_seconds": 300}},
        }
        return ftsdk.JobSpec.model_validate({**base, **changes})

    return make


@pytest.fixture(scope="module")
def uninterrupted(make_spec, tmp_path_factory):
    """What an uninterrupted job makes: its reference, its home, and its artifact."""
    home = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTSDK_HOME", str(home))
        job = ftsdk.submit(make_spec())
        job.wait(timeout=LONG)
        return job.ref, home, job.fetch(home / "out")


def write(path: Path, answers: list[str]) -> None:
    rows = [{"prompt": f"What is {number}?", "completion": answer} for number, answer in enumerate(answers)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def job_folder(job: ftsdk.Job) -> JobFolder:
    return JobFolder(jobs_root() / job.ref.partition(":")[2])


def until_step(job: ftsdk.Job, step: int) -> None:
    """Wait until a step has metrics."""
    end = time.monotonic() + LONG
    while not any(event.kind == "metrics" and event.step >= step for event in job.events()):
        assert time.monotonic() < end, job.status()
        time.sleep(0.02)


def until_done(job: ftsdk.Job) -> ftsdk.JobStatus:
    end = time.monotonic() + LONG
    while not (status := job.status()).state.done:
        assert time.monotonic() < end, status
        time.sleep(0.05)
    return status


def essence(artifact: Artifact) -> tuple[list[tuple[float, ...]], str]:
    """What a run must give again bit for bit: loss, gradient and learning rate of every step, and the weights."""
    rows = [json.loads(line) for line in (artifact.path / "metrics.jsonl").read_text("utf-8").splitlines()]
    figures = [tuple(row[name] for name in ("step", "loss", "grad_norm", "learning_rate")) for row in rows]
    return figures, sha256(artifact.path / "adapter_model.safetensors")


def test_any_process_knows_the_job(uninterrupted):
    """The reference is all that another process needs to see how the job ended."""
    ref, home, _ = uninterrupted
    code = f"import ftsdk; print(ftsdk.status({ref!r}).state.value)"

    process = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "FTSDK_HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert "succeeded" == process.stdout.strip()


def test_every_step_is_in_the_artifact(uninterrupted):
    """What is fetched verifies, knows its job, and has the loss of every step."""
    ref, _, artifact = uninterrupted

    figures, _ = essence(Artifact.open(artifact.path))

    assert (ref, list(range(1, STEPS + 1))) == (artifact.manifest.job, [row[0] for row in figures])


def test_a_killed_job_resumes_to_the_same_end(make_spec, uninterrupted, tmp_path):
    """Killed in training, a job is lost; resumed, it ends with the losses and the weights of one left in peace."""
    job = ftsdk.submit(make_spec())
    until_step(job, STEPS // 2)
    os.kill(latest_attempt(job_folder(job)).pid, signal.SIGKILL)
    killed = until_done(job)

    job.resume().wait(timeout=LONG)

    assert (JobState.FAILED, Reason.WORKER_LOST) == (killed.state, killed.reason)
    assert essence(uninterrupted[2]) == essence(job.fetch(tmp_path / "out"))


def test_a_cancelled_job_resumes_to_the_same_end(make_spec, uninterrupted, tmp_path):
    """A cancelled job keeps a checkpoint of its last step; resumed, it ends as one left in peace."""
    job = ftsdk.submit(make_spec())
    until_step(job, STEPS // 2)
    job.cancel()
    with pytest.raises(JobCancelled):
        job.wait(timeout=LONG)
    checkpoint, _ = newest_sealed(job_folder(job).checkpoints)

    step = job.status().step
    job.resume().wait(timeout=LONG)

    assert f"checkpoint-{step}" == checkpoint.name
    assert essence(uninterrupted[2]) == essence(job.fetch(tmp_path / "out"))


def test_two_jobs_share_a_device_in_turn(make_spec):
    """The second job starts when the first has ended."""
    jobs = [ftsdk.submit(make_spec(training={"max_steps": 1})) for _ in range(2)]
    for job in jobs:
        job.wait(timeout=LONG)

    times = [{event.state: event.time for event in job.events() if event.kind == "state"} for job in jobs]
    times.sort(key=lambda states: states[JobState.RUNNING])

    assert all(first[JobState.SUCCEEDED] <= second[JobState.RUNNING] for first, second in pairwise(times))


def test_broken_rows_are_never_submitted(make_spec, tmp_path, ftsdk_home):
    """A dataset with a broken line stops the submit, with the line, and leaves no job behind."""
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "a", "completion": "b"}\n{"prompt": "a", \n', encoding="utf-8")

    with pytest.raises(DataError, match=r"rows\.jsonl:2"):
        ftsdk.submit(make_spec(dataset=str(rows)))

    assert ([], []) == (ftsdk.jobs(), list(ftsdk_home.glob("jobs/*")))


def test_a_missing_model_is_refused_in_the_plan(make_spec, tmp_path):
    """A folder that is not there is no model, and the plan refuses it."""
    with pytest.raises(UnsupportedSpec) as caught:
        ftsdk.plan(make_spec(model=str(tmp_path / "nowhere")))

    assert ["model"] == [problem.where for problem in caught.value.problems]


def test_a_job_whose_time_is_up_keeps_its_work(make_spec):
    """When compute.timeout has passed, the job saves a checkpoint and fails with the reason."""
    job = ftsdk.submit(make_spec(training={"max_steps": 10**6}, compute={"timeout": 1}))

    with pytest.raises(JobFailed) as caught:
        job.wait(timeout=LONG)

    assert ("timeout", "checkpoint-1") == (caught.value.reason, newest_sealed(job_folder(job).checkpoints)[0].name)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a process to its memory")
def test_a_row_that_cannot_fit_is_reported(make_spec, tmp_path):
    """Where not even one row fits, the job fails with its length, the peak, and the change that helps."""
    write(tmp_path / "rows.jsonl", ["one two three " * 5000])
    spec = make_spec(
        dataset=str(tmp_path / "rows.jsonl"),
        training={"max_steps": 1, "max_length": 8192},
        compute={"attention": "eager", "memory_limit": "1GiB"},  # eager scores: 4 heads x 8192 x 8192 x 4 bytes
    )

    with pytest.raises(JobFailed, match="a single row of 8192 tokens does not fit") as caught:
        ftsdk.submit(spec).wait(timeout=LONG)

    assert ("oom", True) == (caught.value.reason, "training.max_length=4096" in caught.value.hint)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a process to its memory")
def test_a_smaller_micro_batch_is_found(make_spec, tmp_path):
    """Where four rows at a time do not fit but one does, the job warns, takes fewer, and succeeds."""
    write(tmp_path / "rows.jsonl", ["one two three " * 400] * 4)
    spec = make_spec(
        dataset=str(tmp_path / "rows.jsonl"),
        training={"max_steps": 1, "max_length": 1024, "global_batch_size": 4},
        compute={"attention": "eager", "memory_limit": "1.25GiB", "per_device_train_batch_size": 4},
    )

    job = ftsdk.submit(spec)
    job.wait(timeout=LONG)

    warnings = [event.message for event in job.events() if event.kind == "warning"]
    assert any(message.startswith("out of memory with 4096 tokens, 4 rows at a time") for message in warnings)
