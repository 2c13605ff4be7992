"""AutoTrain at Hugging Face: the request of a Job or a Space, and a Space that is paused whatever happens.

The containers are scripted here; test_contract.py runs the real AutoTrain.
"""

import json
from pathlib import Path

import hub_scripts
import pytest
import yaml
from hub_client import SHORT_TIMEOUTS, use_hub
from hub_service import KEY, Fault, serving
from older_model import older_model

import ftsdk
from ftsdk.errors import JobFailed, JobNotFound, RejectedError, UnreachableError, UnsupportedSpec
from ftsdk.job_types import JobState, Reason
from ftsdk.testing.weights import safetensors
from ftsdk_autotrain import AutoTrainBackend

SPACE = "/api/spaces/me/.+"


@pytest.fixture
def service(monkeypatch, tmp_path, tiny_model):
    """The Hub, with a model that AutoTrain can read."""
    with serving() as running:
        use_hub(running, monkeypatch, tmp_path)
        running.add("org/tiny", older_model(tiny_model, tmp_path / "older"))
        running.run_space = stay
        yield running


@pytest.fixture
def backend(service, monkeypatch):
    """The backend with short timeouts, also where the client loads it by its name."""
    autotrain = AutoTrainBackend(SHORT_TIMEOUTS)
    monkeypatch.setattr("ftsdk.registry.load_backend", lambda name: autotrain)
    return autotrain


@pytest.fixture
def spec(tmp_path):
    """Creates a spec for AutoTrain in a Space, with ``options`` among its options."""

    def make(options=None, **changes):
        path = tmp_path / "rows.jsonl"
        path.write_text('{"prompt": "1 + 1 =", "completion": " 2"}\n' * 16)
        merged = {"executor": "spaces", "settle_seconds": 0.2, **(options or {})}
        section = {name: value for name, value in merged.items() if value is not None}
        defaults = {"model": "org/tiny", "dataset": str(path), "backend": "autotrain"}
        return ftsdk.JobSpec.model_validate({**defaults, "backend_options": {"autotrain": section}, **changes})

    return make


def stay(service, space):
    """Run until it is paused."""
    space.stage = "RUNNING"
    while space.stage == "RUNNING" and not service.stopping.wait(0.01):
        pass


def send(service, space, outcome, files=None):
    """Commit results to the model repository of a Space."""
    contents = {"result/outcome.json": json.dumps(outcome).encode()}
    contents |= {f"result/{name}": content for name, content in (files or {}).items()}
    service.repos["model", space.id].commit(contents, "ftsdk: results")


def until(job, state):
    """The job's status, once it has reached a state."""
    while (status := job.status()).state is not state:
        assert not status.state.done, status
    return status


def test_a_space_is_private_and_started_by_one_commit(service, backend, spec):
    """It is created as private, with secrets, hardware and sleep time, in one request, and started by one commit."""
    job = ftsdk.submit(spec(compute={"timeout": "1h"}))
    body = next(r.body for r in service.requests if r.path == "/api/repos/create" and r.body.get("sdk"))
    name = job.ref.removeprefix("autotrain:spaces/")
    dockerfile = service.tree(name, "space")["Dockerfile"].decode()

    assert ("docker", "l4x1", 5400, "private") == (
        body["sdk"],
        body["hardware"],
        body["sleepTimeSeconds"],
        body["visibility"],
    )
    assert [{"key": "HF_TOKEN", "value": KEY}] == body["secrets"]
    assert "FROM huggingface/autotrain-advanced:latest" in dockerfile
    assert 1 == len(service.repos["space", name].commits)
    assert 0 == service.count("POST", "/api/spaces/.+/secrets")


def test_the_request_is_that_of_this_machine(service, backend, spec):
    """The same YAML, rows and runner are uploaded, for Jobs and Spaces alike, and no key among them."""
    service.run = hub_scripts.nothing
    job = ftsdk.submit(spec({"executor": "jobs"}))
    store = service.jobs[0].request["volumes"][0]["source"]
    tree = service.tree(store)
    plan = ftsdk.plan(spec({"executor": "jobs"}))

    assert job.ref == f"autotrain:jobs/me/{service.jobs[0].id}"
    assert plan.native["config"] == yaml.safe_load(tree["job/desk/job.yaml"])
    assert 16 == len(tree["job/desk/rows.jsonl"].splitlines())
    assert {"job/desk/tools/ftsdk_autotrain/runner.py", "job/lock.txt", "job/container.py"} <= set(tree)
    assert not any(KEY.encode() in content for content in tree.values())


def test_its_weaknesses_are_shown(backend, spec):
    """The plan of a Space warns of them; that of a Job does not."""
    space, job = (" ".join(ftsdk.plan(spec({"executor": name})).warnings) for name in ("spaces", "jobs"))

    assert ("until it is paused" in space, "until it is paused" in job) == (True, False)
    assert all("$0.80 an hour on l4x1" in warnings for warnings in (space, job))


@pytest.mark.parametrize(
    ("executor", "option"),
    [("spaces", {"python": "/usr/bin/python3"}), ("jobs", {"grace_seconds": 5}), ("local", {"price_limit": 5})],
)
def test_options_without_a_meaning_are_refused(backend, spec, executor, option):
    """Options of this machine have no effect there, and the other way round."""
    with pytest.raises(UnsupportedSpec) as caught:
        ftsdk.plan(spec({"executor": executor, "settle_seconds": None, **option}))

    assert f"backend_options.autotrain.{next(iter(option))}" in {problem.where for problem in caught.value.problems}


def test_a_model_of_this_machine_is_not_uploaded(backend, spec, tmp_path):
    """A folder that would be missing there is refused in the plan."""
    with pytest.raises(UnsupportedSpec, match="is not uploaded"):
        ftsdk.plan(spec(model=str(tmp_path / "older")))


def test_results_decide_over_success(service, backend, spec):
    """A paused Space has succeeded if it has results that say so, and only then."""
    job = ftsdk.submit(spec())
    until(job, JobState.RUNNING)
    space = next(iter(service.spaces.values()))
    send(service, space, {"state": "succeeded", "versions": {}})

    assert ("PAUSED", "PAUSED") == (until(job, JobState.SUCCEEDED).raw_status, space.stage)


LOG = """Starting to train
INFO | trainer:on_log:367 - {'loss': 2.5, 'epoch': 0.5}
INFO | trainer:on_log:367 - {'loss': 1.5, 'epoch': 1.0}
"""


def test_an_artifact_of_the_first_version_is_fetched(service, backend, spec, tmp_path):
    """Results beside a task of the first version become an artifact, with the metrics of the log."""
    job = ftsdk.submit(spec())
    until(job, JobState.RUNNING)
    space = next(iter(service.spaces.values()))
    task = (Path(__file__).parents[2] / "huggingface" / "golden" / "task-autotrain.json").read_bytes()
    service.repos["model", space.id].commit({"job/task.json": task}, "of the first version")
    config = json.dumps({"peft_type": "LORA", "base_model_name_or_path": "org/tiny", "r": 4}).encode()
    weights = safetensors({"lora_A.weight": (4, 8)})
    files = {"artifact/adapter_config.json": config, "artifact/adapter_model.safetensors": weights}
    versions = {"autotrain-advanced": "0.8.36"}
    send(service, space, {"state": "succeeded", "versions": versions}, {**files, "worker.log": LOG.encode()})
    job.wait(timeout=20)
    artifact = job.fetch(tmp_path / "out")
    manifest = artifact.manifest

    assert (job.ref, "adapter", "org/tiny", "0123abc") == (
        manifest.job,
        artifact.kind,
        manifest.base_model,
        manifest.base_model_revision,
    )
    assert (versions, json.loads(task)["manifest"]["spec"]) == (manifest.versions, manifest.spec)
    assert [5, 10] == [json.loads(line)["step"] for line in metric_lines(artifact)]
    assert 1.5 == manifest.metrics["loss"]


def metric_lines(artifact):
    return (artifact.path / "metrics.jsonl").read_text().splitlines()


ENDS = ["PAUSED", "RUNTIME_ERROR", "BUILD_ERROR", "STOPPED"]


@pytest.mark.parametrize("stage", ENDS)
def test_an_end_without_results_is_a_failure(service, backend, spec, stage):
    """Whatever Hugging Face calls it; and the Space costs nothing more."""
    job = ftsdk.submit(spec())
    until(job, JobState.RUNNING)
    space = next(iter(service.spaces.values()))
    space.stage = stage
    with pytest.raises(JobFailed):
        job.wait(timeout=20)

    assert space.stage in ("PAUSED", "STOPPED")


def test_cancelled(service, backend, spec):
    """A cancelled Space is paused, and stays cancelled although its stage is that of any ended Space."""
    job = ftsdk.submit(spec())
    until(job, JobState.RUNNING)
    job.cancel()

    assert (JobState.CANCELLED, "PAUSED") == (job.status().state, next(iter(service.spaces.values())).stage)
    assert JobState.CANCELLED is backend.status(job.ref.partition(":")[2]).state


def test_a_pause_that_fails_is_a_warning_and_tried_again(service, backend, spec):
    """Where the Space cannot be paused, a warning says that it may cost, and the next status pauses it."""
    job = ftsdk.submit(spec())
    until(job, JobState.RUNNING)
    send(service, next(iter(service.spaces.values())), {"state": "succeeded", "versions": {}})
    service.fail("POST", f"{SPACE}/pause", Fault("status", 500), times=3)

    assert "may still run, and cost" in " ".join(job.status().warnings)
    assert ("succeeded", "PAUSED") == (job.status().state.value, next(iter(service.spaces.values())).stage)


@pytest.mark.parametrize("path", ["preupload/main", "commit/main"])
def test_a_space_that_cannot_be_started_is_paused(service, backend, spec, path):
    """Its machine is requested before its files are there: it must not wait for them at the user's cost."""
    service.fail("POST", f"{SPACE}/{path}", Fault("status", 400, body={"error": "too large"}))
    with pytest.raises(RejectedError):
        ftsdk.submit(spec())

    assert ["PAUSED"] == [space.stage for space in service.spaces.values()]


def test_no_credit(service, backend, spec):
    """Without credit there is no Space, and the reason says so."""
    service.credit = False
    with pytest.raises(RejectedError, match="Payment required"):
        ftsdk.submit(spec())

    assert (Reason.QUOTA, 0) == (ftsdk.status(ftsdk.jobs()[0].id).reason, len(service.spaces))


@pytest.mark.parametrize("fault", [Fault("lose"), Fault("done", 503)], ids=lambda fault: fault.kind)
def test_a_lost_answer(service, backend, spec, fault):
    """A Space has the job's own name, so that it is created once however often it is requested."""
    service.fail("POST", "/api/repos/create", Fault("status", 503), fault)
    ftsdk.submit(spec())

    assert 1 == len(service.spaces)


def test_a_start_without_an_answer(service, backend, spec):
    """The Space is paused when its start seems lost; it is not taken for a job, and the next try starts it again."""
    service.fail("POST", f"{SPACE}/commit/main", Fault("lose"))
    service.fail("GET", "/api/spaces/me/[^/]+(/revision/.+)?", Fault("status", 500), times=3)
    with pytest.raises(UnreachableError):
        ftsdk.submit(spec())
    paused = [space.stage for space in service.spaces.values()]
    job = ftsdk.jobs()[0].id
    ftsdk.resume(job)
    while (status := ftsdk.status(job)).state is JobState.QUEUED:
        pass

    assert (["PAUSED"], 1, JobState.RUNNING) == (paused, len(service.spaces), status.state)


def test_a_cancel_that_cannot_be_recorded(service, backend, spec):
    """Where the outcome cannot be committed, the Space runs on, which is an error; the next call cancels it."""
    job = ftsdk.submit(spec())
    until(job, JobState.RUNNING)
    service.fail("POST", "/api/models/me/.+/commit/main", Fault("status", 500), times=3)
    with pytest.raises(UnreachableError):
        job.cancel()
    stage = next(iter(service.spaces.values())).stage
    job.cancel()

    assert ("RUNNING", JobState.CANCELLED) == (stage, job.status().state)


def test_an_interrupted_start_is_continued(service, backend, spec):
    """A Space that was created and never started is started by the next try, under the same name."""
    service.fail("POST", f"{SPACE}/commit/main", Fault("status", 503), times=3)
    with pytest.raises(UnreachableError):
        ftsdk.submit(spec())
    job = ftsdk.jobs()[0].id
    next(iter(service.spaces.values())).stage = "NO_APP_FILE"
    ftsdk.resume(job)

    assert (1, JobState.RUNNING) == (
        len(service.spaces),
        until(ftsdk.Job(ftsdk.Client(), job, job), JobState.RUNNING).state,
    )


@pytest.mark.parametrize("name", ["spaces/me/missing", "jobs/me/000000000000", "spaces/odd", "jobs/odd"])
def test_names_of_no_job(backend, name):
    """An id that is not valid, or of no job, is an error of its own."""
    with pytest.raises(JobNotFound):
        backend.status(name)
    with pytest.raises(JobNotFound):
        backend.resume(name)


def test_a_job_of_another_tool(service, backend, spec):
    """A Job that this backend did not create is no job of ours, and no outage."""
    service.run = hub_scripts.nothing
    ftsdk.submit(spec({"executor": "jobs"}))
    service.jobs[0].request["volumes"] = []
    while service.jobs[0].stage != "RUNNING":
        pass

    with pytest.raises(JobNotFound, match="did not create it with AutoTrain"):
        backend.status(f"jobs/me/{service.jobs[0].id}")
