"""One submission creates one Job, whatever fails; and no secret is stored anywhere."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import hub_scripts
import pytest
from hub_service import KEY, READ_KEY, Fault

import ftsdk
from ftsdk.errors import (
    AmbiguousError,
    AuthError,
    ConfigError,
    DataError,
    InputError,
    RejectedError,
    UnreachableError,
)
from ftsdk.job_types import JobState, Reason

CREATE = "/api/jobs/me"

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def quick(service, backend):
    """Jobs that need no training."""
    service.run = hub_scripts.succeed


def created(service):
    return service.count("POST", CREATE)


def test_what_is_sent(service, spec):
    """A Job has a time limit, the token in a label, its key as a secret, and its repository pinned and read-only."""
    ftsdk.submit(spec(compute={"timeout": "2h"}))
    body = next(r.body for r in service.requests if r.path == CREATE and r.method == "POST")
    volume = body["volumes"][0]

    assert ("t4-small", 2 * 3600 + 1800, {"HF_TOKEN": KEY}) == (body["flavor"], body["timeoutSeconds"], body["secrets"])
    assert 26 == len(body["labels"]["ftsdk-id"])
    assert ["python3", "/ftsdk/job/container.py"] == body["command"]
    assert ("/ftsdk", True, "model") == (volume["mountPath"], volume["readOnly"], volume["type"])
    assert volume["revision"] in [sha for sha, _, _ in service.repos["model", volume["source"]].commits]
    assert service.repos["model", volume["source"]].private


LOST_ANSWERS = [Fault("lose"), Fault("done", 500), Fault("done", 503), Fault("done", 408), Fault("garbage")]


@pytest.mark.parametrize("fault", LOST_ANSWERS, ids=lambda fault: f"{fault.kind}-{fault.status}")
def test_a_lost_answer(service, spec, fault):
    """The Job exists and its answer is lost: it is found by its label."""
    service.fail("POST", CREATE, fault)
    job = ftsdk.submit(spec())

    assert (1, 1) == (created(service), len(service.jobs))
    assert JobState.SUCCEEDED is job.wait(timeout=20).state


@pytest.mark.parametrize("kind", ["drop", "hang"])
def test_silence_parks(service, spec, kind):
    """No answer came, and no Job shows up: the creation may still be on its way, so none is sent again."""
    service.fail("POST", CREATE, Fault(kind))
    with pytest.raises(AmbiguousError):
        ftsdk.submit(spec())
    job = ftsdk.jobs()[0].id

    assert (JobState.UNKNOWN, 1, 0) == (ftsdk.status(job).state, created(service), len(service.jobs))


def test_a_list_that_lags(service, spec):
    """A Job that shows up late is waited for."""
    service.lag = 0.3
    service.fail("POST", CREATE, Fault("lose"))
    ftsdk.submit(spec(hfjobs={"settle_seconds": 5}))

    assert (1, 1) == (created(service), len(service.jobs))


def test_busy_for_a_moment(service, spec):
    """A creation that was refused for the moment is sent again."""
    service.fail("POST", CREATE, Fault("status", 429, {"Retry-After": "0"}), times=2)
    ftsdk.submit(spec())

    assert (3, 1) == (created(service), len(service.jobs))


def test_no_credit(service, spec):
    """Without credit there is no Job, and the error says where to buy some."""
    service.credit = False
    with pytest.raises(RejectedError, match="credit balance is insufficient") as caught:
        ftsdk.submit(spec())

    assert "settings/billing" in caught.value.hint
    assert (JobState.FAILED, Reason.QUOTA, 0) == (
        (status := ftsdk.status(ftsdk.jobs()[0].id)).state,
        status.reason,
        len(service.jobs),
    )


def test_a_token_without_the_right_to_write(service, spec, monkeypatch):
    """It is an error of the plan, before anything is created."""
    monkeypatch.setenv("HF_TOKEN", READ_KEY)
    with pytest.raises(AuthError, match="may only read"):
        ftsdk.submit(spec())

    assert [] == [r for r in service.requests if r.method == "POST"]


def test_a_token_without_the_right_to_run_jobs(service, spec):
    """The Hub says it at the creation; nothing runs, and the error names the right."""
    refusal = {"error": "missing job.write"}
    service.fail("POST", CREATE, Fault("status", 403, {"X-Error-Message": "missing job.write"}, refusal))
    with pytest.raises(AuthError, match=r"missing job\.write"):
        ftsdk.submit(spec())

    assert [] == service.jobs


def test_a_wrong_token(service, spec, monkeypatch):
    """The plan says so, without the token in its words."""
    monkeypatch.setenv("HF_TOKEN", "hf_" + "x" * 30)
    with pytest.raises(AuthError) as caught:
        ftsdk.plan(spec())

    assert "x" * 30 not in str(caught.value)


def test_no_token(spec, monkeypatch):
    """Without a token the error says how to get one."""
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(AuthError, match="HF_TOKEN is not set"):
        ftsdk.plan(spec())


def test_a_key_that_is_gone(service, backend, spec, monkeypatch):
    """A tracker's key that was there for the plan and is not for the Job: nothing is created, and nothing in doubt."""
    monkeypatch.setenv("WANDB_API_KEY", "a-key-for-tests")
    plan = ftsdk.plan(spec(report_to=["wandb"])).model_copy(update={"facts": {}})
    monkeypatch.delenv("WANDB_API_KEY")
    with pytest.raises(AuthError, match="WANDB_API_KEY is not set any more"):
        backend.submit(plan, "a" * 26, lambda **_: None)

    assert [] == service.jobs


def test_an_organization(service, spec):
    """A Job can belong to an organization of the user, and to no other."""
    ftsdk.submit(spec(hfjobs={"namespace": "acme"}))
    with pytest.raises(ConfigError, match="you do not belong to 'other-org'"):
        ftsdk.plan(spec(hfjobs={"namespace": "other-org"}))

    assert ["acme"] == [job.owner for job in service.jobs]


PATHS = ["/api/repos/create", "/api/models/me/.+/preupload/main", "/api/models/me/.+/commit/main", "/lfs/.+"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("fault", [Fault("status", 503), Fault("lose")], ids=lambda fault: fault.kind)
def test_a_passing_fault_before(service, spec, path, fault):
    """A request before the creation that fails once is sent again."""
    service.fail("PUT" if path.startswith("/lfs") else "POST", path, fault)
    ftsdk.submit(spec())

    assert (1, 1) == (created(service), len(service.jobs))


def test_an_outage_before(service, spec):
    """Where the repository cannot be created, there is no Job, and the same submission can be resumed later."""
    service.fail("POST", "/api/repos/create", Fault("status", 503), times=3)
    with pytest.raises(UnreachableError):
        ftsdk.submit(spec())
    job = ftsdk.jobs()[0].id
    ftsdk.resume(job)

    assert (1, JobState.SUCCEEDED) == (created(service), ftsdk.wait(job, timeout=20).state)


def test_rows_that_changed(spec, backend, rows):
    """Changed rows are not submitted."""
    plan = ftsdk.plan(spec())
    rows.write_text(rows.read_text() + '{"prompt": "a", "completion": "b"}\n')

    with pytest.raises(DataError, match="changed or removed"):
        backend.submit(plan, "a" * 26, lambda **_: None)


def test_files_that_are_gone(service, backend, spec, tmp_path):
    """A template that was removed since the plan is reported before a Job is paid for."""
    template = tmp_path / "template.jinja"
    template.write_text("{{ messages }}")
    job_spec = spec()
    dataset = job_spec.dataset.model_copy(update={"chat_template": str(template)})
    plan = ftsdk.plan(job_spec.model_copy(update={"dataset": dataset})).model_copy(update={"facts": {}})
    template.unlink()
    with pytest.raises(InputError, match="was removed since the plan"):
        backend.submit(plan, "a" * 26, lambda **_: None)

    assert [] == service.jobs


KILLED = """
    import os, signal, sys
    import huggingface_hub, ftsdk
    from ftsdk.huggingface.jobs import JobsService
    from ftsdk_hfjobs import submit

    def die(*_, **__):
        os.kill(os.getpid(), signal.SIGKILL)

    place = sys.argv[2]
    if place == "repository":
        submit.stage = die
    elif place == "commit":
        submit.open_settings = die
    else:
        create = JobsService.create
        JobsService.create = lambda *arguments: (create(*arguments), die())
    ftsdk.submit(sys.argv[1], key="once")
"""


@pytest.mark.parametrize("place", ["repository", "commit", "creation"])
def test_killed_on_the_way(service, spec, tmp_path, place):
    """Killed after each step, the submission is completed under its key, and there is one Job."""
    path = tmp_path / "job.json"
    path.write_text(json.dumps(spec().as_written()))
    program = [sys.executable, "-c", textwrap.dedent(KILLED), str(path), place]
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    killed = subprocess.run(program, env=environment, check=False, capture_output=True, text=True)
    job = ftsdk.submit(path, key="once")

    assert -signal.SIGKILL == killed.returncode, killed.stderr
    assert JobState.SUCCEEDED is job.wait(timeout=20).state
    assert (1, 1) == (created(service), len(service.jobs))


def test_two_of_one_token(service, backend, spec):
    """Should there be two Jobs of one submission all the same, the older one is stopped: each would be paid."""
    service.run = hub_scripts.nothing
    job = ftsdk.submit(spec())
    again = next(r for r in service.requests if r.path == CREATE and r.method == "POST")
    time.sleep(0.01)
    service.run_job(again, "me")
    token = again.body["labels"]["ftsdk-id"]
    native_id = backend.find(token, ftsdk.plan(spec()).model_copy(update={"facts": None}))

    assert f"me/{service.jobs[1].id}" == native_id
    assert ("CANCELED", True) == (service.jobs[0].stage, job.ref.endswith(service.jobs[0].id))


def test_the_token_is_nowhere_but_among_the_secrets(service, spec, ftsdk_home, tmp_path):
    """Neither repositories, nor the Job's environment, nor our records, nor the artifact contain the key."""
    job = ftsdk.submit(spec())
    job.wait(timeout=20)
    job.fetch(tmp_path / "out")
    local_files = [
        path.read_bytes() for folder in (ftsdk_home, tmp_path / "out") for path in folder.rglob("*") if path.is_file()
    ]
    uploads = [content for repo in service.repos.values() for _, tree, _ in repo.commits for content in tree.values()]
    requests = [json.dumps({**job.request, "secrets": None}).encode() for job in service.jobs]

    assert [] == [content for content in (*local_files, *uploads, *requests) if KEY.encode() in content]
