"""A whole DPO job through the public verbs: killed, and resumed."""

import json
import os
import signal
import time

import pytest
from preference_rows import pairs, write_rows

import ftsdk
from ftsdk.files import sha256
from ftsdk.job_folder import JobFolder, jobs_root
from ftsdk.job_types import JobState, Reason
from ftsdk.workers.attempt import latest_attempt

pytestmark = [pytest.mark.engine, pytest.mark.slow]

STEPS = 16
LONG = 300.0  # seconds; a busy machine takes its time to import the engine


def kill_at(job, step):
    """Wait until a step has metrics, and kill the worker without a warning."""
    end = time.monotonic() + LONG
    while not any(event.kind == "metrics" and event.step >= step for event in job.events()):
        assert time.monotonic() < end, job.status()
        time.sleep(0.02)
    os.kill(latest_attempt(JobFolder(jobs_root() / job.ref.partition(":")[2])).pid, signal.SIGKILL)
    while not (status := job.status()).state.done:
        assert time.monotonic() < end, status
        time.sleep(0.05)
    return status


def essence(artifact):
    """All metrics of all steps but the speed, and the weights."""
    rows = [json.loads(line) for line in (artifact.path / "metrics.jsonl").read_text("utf-8").splitlines()]
    figures = [{name: value for name, value in row.items() if name != "tokens_per_second"} for row in rows]
    return figures, sha256(artifact.path / "adapter_model.safetensors")


def test_a_killed_job_resumes_to_the_same_end(tiny_model, tmp_path):
    """Killed in its second epoch and resumed, it ends with the metrics and the weights of one left in peace."""
    spec = ftsdk.JobSpec(
        model=str(tiny_model),
        dataset=write_rows(tmp_path / "pairs.jsonl", pairs()),
        method="dpo",
        adapter={"dropout": 0.1},
        training={"max_steps": STEPS, "global_batch_size": 8, "learning_rate": 1e-3, "save_steps": 2},
        backend_options={"local": {"device": "cpu"}},
    )
    uninterrupted = ftsdk.submit(spec)
    uninterrupted.wait(timeout=LONG)
    job = ftsdk.submit(spec)
    killed = kill_at(job, STEPS // 2)

    job.resume().wait(timeout=LONG)

    assert (JobState.FAILED, Reason.WORKER_LOST) == (killed.state, killed.reason)
    assert essence(uninterrupted.fetch(tmp_path / "whole")) == essence(job.fetch(tmp_path / "killed"))
