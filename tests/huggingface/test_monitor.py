"""Status and events of a Job: its progress, its end, and nothing that is not known."""

import json
from pathlib import Path

import hub_scripts
import pytest
from hub_scripts import ending, send
from hub_service import Fault

import ftsdk
from ftsdk.errors import ArtifactError, JobFailed, JobNotFound, JobNotReady, UnreachableError
from ftsdk.job_types import JobState, Reason


def test_a_running_job_is_reported_at_once(service, backend, spec):
    """Its log has no end while it runs: the status has its progress, and does not wait for the log."""
    service.run = hub_scripts.nothing
    job = ftsdk.submit(spec())
    while (status := job.status()).state is not JobState.RUNNING or not status.step:
        pass

    assert ("training", 100000, "RUNNING") == (status.stage, status.total_steps, status.raw_status)
    assert 0 < status.progress < 1
    assert not service.jobs[0].done
    assert [] == [event for event in job.events() if event.kind == "metrics"]


ENDS = {
    "timeout": (ending("ERROR", "Job timeout"), Reason.TIMEOUT, "compute.timeout"),
    "nothing sent": (ending("COMPLETED", None), Reason.PROVIDER_ERROR, "right to write"),
    "out of memory": (
        ending("ERROR", "Job failed with exit code: 1", "torch.OutOfMemoryError: CUDA out of memory\n"),
        Reason.OOM,
        "compute.quantization",
    ),
    "killed": (ending("ERROR", "Job failed with exit code: 137"), Reason.ENGINE_ERROR, "ftsdk logs"),
}


@pytest.mark.parametrize("name", ENDS)
def test_ends_without_results(service, backend, spec, name):
    """A Job without results has failed, whatever Hugging Face calls its end, for a reason that is named."""
    service.run, reason, hint = ENDS[name]
    job = ftsdk.submit(spec())
    with pytest.raises(JobFailed) as caught:
        job.wait(timeout=20)

    assert (reason.value, True) == (caught.value.reason, hint in caught.value.hint)
    with pytest.raises(JobNotReady):
        job.fetch("out")


def test_a_failure_that_was_reported(service, backend, spec):
    """The engine's own outcome counts: reason, message and hint are those of a local job."""

    def run(hub, job):
        send(hub, job, {"state": "failed", "reason": "data_error", "message": "line 3", "hint": "fix it"})
        hub_scripts.end_job(job, "ERROR", "Job failed with exit code: 1")

    service.run = run
    job = ftsdk.submit(spec())
    with pytest.raises(JobFailed, match="line 3") as caught:
        job.wait(timeout=20)

    assert ("data_error", "fix it") == (caught.value.reason, caught.value.hint)


def test_results_count_more_than_the_end(service, backend, spec, tmp_path):
    """Complete results are a success, even where the machine broke a moment later."""

    def run(hub, job):
        send(hub, job, {"state": "succeeded"}, hub_scripts.adapter())
        hub_scripts.end_job(job, "ERROR", "Job timeout")

    service.run = run
    job = ftsdk.submit(spec())

    assert JobState.SUCCEEDED is job.wait(timeout=20).state
    assert "adapter" == job.fetch(tmp_path / "out").kind


def test_cancelled(service, backend, spec):
    """A Job is cancelled on request; a second request has no effect."""
    service.run = hub_scripts.nothing
    job = ftsdk.submit(spec())
    job.cancel()
    job.cancel()

    assert (JobState.CANCELLED, 1) == (job.status().state, service.count("POST", "/api/jobs/me/.+/cancel"))


def test_cost(service, backend, spec):
    """The price of the machine times the seconds that it ran."""
    service.run = hub_scripts.succeed
    job = ftsdk.submit(spec(hfjobs={"flavor": "a100-large"}))
    job.wait(timeout=20)
    service.jobs[0].times["ended"] = service.jobs[0].times["started"] + 360

    assert pytest.approx(0.25, rel=1e-3) == backend.status(job.ref.partition(":")[2]).cost


@pytest.mark.parametrize("fault", [Fault("status", 500), Fault("status", 429), Fault("drop")], ids=lambda f: f.kind)
def test_an_outage_is_no_end(service, backend, spec, fault):
    """Where Hugging Face does not answer, the job is as last known, with a warning."""
    service.run = hub_scripts.nothing
    job = ftsdk.submit(spec())
    service.fail("GET", "/api/jobs/me/[0-9a-f]+", fault, times=3)
    status = job.status()

    assert (JobState.QUEUED, True) == (status.state, "as last known" in status.warnings[0])


def test_a_log_that_cannot_be_had(service, backend, spec):
    """A status needs no log."""
    service.run = hub_scripts.nothing
    job = ftsdk.submit(spec())
    while job.status().state is not JobState.RUNNING:
        pass
    service.fail("GET", "/api/jobs/me/.+/logs", Fault("status", 500), times=3)

    assert (JobState.RUNNING, None) == ((status := job.status()).state, status.step)


ODD = [
    '{"kind": "progress", "step": "a", "total_steps": "b"}',
    '{"kind": "progress", "stage": 5}',
    '{"kind": "bogus"}',
    '{"kind": "metrics", "step": "x", "metrics": {"loss": "bad"}}',
    '{"kind": "metrics", "step": 1, "metrics": {"loss": NaN}}',
    '{"kind": "metrics", "metrics": [1]}',
    "[1]",
    "torn {",
]


def test_lines_that_only_look_like_events(service, backend, spec):
    """Whatever a log contains, a paid Job can be monitored and cancelled."""

    def run(hub, job):
        for line in ODD:
            job.write_log(f"::ftsdk:: {line}\n")
        hub_scripts.nothing(hub, job)

    service.run = run
    job = ftsdk.submit(spec())
    while (status := job.status()).state is not JobState.RUNNING or not status.step:
        pass
    messages = [event.message for event in job.events() if event.kind == "log"]
    job.cancel()

    assert all(any(line in message for message in messages) for line in ODD if "NaN" not in line)
    assert JobState.CANCELLED is job.status().state


def test_a_word_that_nobody_knows(service, backend, spec):
    """A new stage is unknown, and its raw name is kept."""
    service.run = hub_scripts.nothing
    job = ftsdk.submit(spec())
    while job.status().state is not JobState.RUNNING:
        pass
    service.jobs[0].stage = "RUNNING"
    native = job.ref.partition(":")[2]
    service.jobs[0].stage = "HIBERNATING"

    assert (JobState.UNKNOWN, "HIBERNATING") == ((status := backend.status(native)).state, status.raw_status)


def test_odd_characters_in_a_log(service, backend, spec):
    """Unicode line separators end no line; what is no JSON is ignored."""
    service.run = ending("ERROR", "Job failed", "one\u2028two\u0085three\n", "four\n")
    service.plain_json = True
    job = ftsdk.submit(spec())
    with pytest.raises(JobFailed):
        job.wait(timeout=20)
    messages = [event.message for event in job.events() if event.kind == "log"]

    assert ["one\u2028two\u0085three", "four"] == messages


def test_events_of_a_service_that_is_away(service, backend, spec):
    """Events are an error then, not an empty list."""
    service.run = hub_scripts.nothing
    job = ftsdk.submit(spec())
    while job.status().state is not JobState.RUNNING:
        pass
    service.fail("GET", "/api/jobs/me/.+/logs", Fault("status", 503), times=50)

    with pytest.raises(UnreachableError):
        list(job.events())


def test_a_file_that_cannot_be_had(service, backend, spec):
    """Where the results cannot be read at the moment, the job has not failed."""
    service.run = hub_scripts.succeed
    job = ftsdk.submit(spec())
    while not service.jobs[0].done:
        pass
    service.fail("GET", "/me/.+/outcome.json", Fault("status", 429, {"Retry-After": "500"}), times=3)

    assert "as last known" in " ".join(job.status().warnings)
    assert JobState.SUCCEEDED is job.wait(timeout=20).state


def test_damaged_on_the_way(service, backend, spec, tmp_path):
    """Weights that differ from the sealed ones are refused, and no artifact is left."""
    service.run = hub_scripts.succeed
    job = ftsdk.submit(spec())
    job.wait(timeout=20)
    repo = next(repo for name, repo in service.repos.items() if name[1].startswith("me/"))
    weights = "result/artifact/adapter_model.safetensors"
    repo.commit({weights: repo.commits[-1][1][weights][:-4] + b"oops"}, "an accident")

    with pytest.raises(ArtifactError, match="has changed since it was sealed"):
        job.fetch(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_job_of_the_first_version(service, backend, spec, tmp_path):
    """A Job whose task was written by the first version is monitored and fetched."""
    service.run = hub_scripts.succeed
    job = ftsdk.submit(spec())
    task = (Path(__file__).parent / "golden" / "task-hfjobs.json").read_bytes()
    service.repos["model", service.jobs[0].request["volumes"][0]["source"]].commit({"job/task.json": task}, "old")

    assert JobState.SUCCEEDED is job.wait(timeout=20).state
    assert json.loads(task)["spec"] == job.fetch(tmp_path / "out").manifest.spec


def test_a_cut_download(service, backend, spec, tmp_path):
    """A download that is cut is continued."""
    service.run = hub_scripts.succeed
    job = ftsdk.submit(spec())
    job.wait(timeout=20)
    service.cuts = [10**6, 20, 20]

    assert "adapter" == job.fetch(tmp_path / "out").kind


def test_names_of_no_job(backend):
    """An id that is not valid, or of no Job, is an error of its own."""
    for name in ("me/000000000000", "me", "me/../etc"):
        with pytest.raises(JobNotFound):
            backend.status(name)
