"""One submission makes one training, whatever fails."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from replicate_service import HEX, KEY, Fault

import ftsdk
from ftsdk.errors import AmbiguousError, AuthError, DataError, RejectedError, UnreachableError
from ftsdk.job_types import JobState, Reason
from ftsdk_replicate import rows as rows_module

CREATE = "/v1/models/[^/]+/[^/]+/versions/[^/]+/trainings"
pytestmark = pytest.mark.usefixtures("backend")


def body_of(service):
    return next(r.body for r in service.requests if r.path.endswith("/trainings") and r.method == "POST")


def test_the_trainer_gets_every_value(service, spec):
    """The trainer gets every value of the spec, the address of the rows, and nothing else."""
    ftsdk.submit(spec(training={"seed": 7, "max_length": 64}))

    body = body_of(service)
    assert {"destination", "input"} == set(body)
    assert ("me/tuned", 7, 64) == (body["destination"], body["input"]["seed"], body["input"]["max_length"])
    assert f"{service.url}/v1/files/file-1" == body["input"]["train_data"]
    assert 20 == len(service.contents["file-1"].splitlines())


LOST_ANSWERS = [
    Fault("lose"),
    Fault("done", 500),
    Fault("done", 503),
    Fault("done", 408),
    Fault("garbage"),
]


@pytest.mark.parametrize("fault", LOST_ANSWERS, ids=lambda fault: f"{fault.kind}-{fault.status}")
def test_a_lost_answer(service, spec, fault):
    """The training is there and its answer is not: it is found by the address of its rows."""
    service.fail("POST", CREATE, fault)
    job = ftsdk.submit(spec())

    assert (1, 1) == (service.creations, len(service.trainings))
    assert job.status().state is not JobState.UNKNOWN


def parked(spec):
    """The job of a submission that could not be decided."""
    with pytest.raises(AmbiguousError):
        ftsdk.submit(spec)
    return ftsdk.jobs()[0].id


@pytest.mark.parametrize("kind", ["drop", "hang"])
def test_silence_parks(service, spec, kind):
    """No answer came, and nothing shows up: the creation may still be on its way, so nothing more is sent."""
    service.fail("POST", CREATE, Fault(kind))
    job = parked(spec())

    assert (JobState.UNKNOWN, 1, 0) == (ftsdk.status(job).state, service.creations, len(service.trainings))


def test_a_list_that_lags(service, spec):
    """The training shows up late: the job is parked, and the next status finds it."""
    service.list_lag = 0.6
    service.fail("POST", CREATE, Fault("lose"))
    job = parked(spec())
    time.sleep(0.7)

    assert ftsdk.status(job).state is not JobState.UNKNOWN
    assert 1 == service.creations


def test_recreate_is_the_users_choice(service, spec):
    """A second creation is sent only on request, when the first does not show up."""
    service.fail("POST", CREATE, Fault("drop"))
    job = ftsdk.submit(spec(replicate={"on_ambiguous": "recreate"}))

    assert (2, 1) == (service.creations, len(service.trainings))
    assert job.status().state is not JobState.UNKNOWN


REFUSALS = [
    (Fault("status", 401, body={"detail": "no"}), AuthError),
    (
        Fault("status", 402, body={"title": "Insufficient credit", "detail": "You have insufficient credit"}),
        RejectedError,
    ),
    (Fault("status", 404, body={"detail": "The specified training destination does not exist"}), RejectedError),
    (Fault("status", 422, body={"detail": "- input: x is required"}), RejectedError),
    (Fault("status", 422, body=["a list"]), RejectedError),
    (Fault("status", 429, {"Retry-After": "3600"}, {"detail": "Your rate limit resets in ~30s."}), UnreachableError),
]


@pytest.mark.parametrize(("fault", "error"), REFUSALS, ids=lambda value: getattr(value, "status", ""))
def test_a_refused_creation(service, spec, fault, error):
    """Nothing was created, and the error is raised at once, without an hour of waiting."""
    service.fail("POST", CREATE, fault)
    began = time.monotonic()
    with pytest.raises(error):
        ftsdk.submit(spec())

    assert (1, 0) == (service.creations, len(service.trainings))
    assert 10 > time.monotonic() - began


def test_no_credit_is_a_reason(service, spec):
    """The job's reason is the account's quota."""
    service.fail("POST", CREATE, Fault("status", 402, body={"detail": "You have insufficient credit"}))
    with pytest.raises(RejectedError) as caught:
        ftsdk.submit(spec())

    assert (Reason.QUOTA.value, True) == (caught.value.reason, "insufficient credit" in str(caught.value))


def test_a_busy_moment_names_the_time(service, spec):
    """The service's message about its limit is passed on."""
    busy = Fault("status", 429, body={"detail": "Request was throttled. Your rate limit resets in ~30s."})
    service.fail("POST", CREATE, busy)
    with pytest.raises(UnreachableError, match="resets in ~30s"):
        ftsdk.submit(spec())


@pytest.mark.parametrize("path", ["/v1/files", "/v1/models/me/tuned", "/v1/models/acme/modern/versions/.*"])
@pytest.mark.parametrize("fault", [Fault("drop"), Fault("status", 500), Fault("garbage"), Fault("hang")], ids=str)
def test_a_passing_fault_before(service, spec, path, fault):
    """Reads and uploads are repeated; the training is made once."""
    service.fail("POST" if path == "/v1/files" else "GET", path, fault)
    ftsdk.submit(spec())

    assert (1, 1) == (service.creations, len(service.trainings))


def test_an_outage_before(service, spec):
    """Nothing is created, and nothing is left in doubt."""
    service.fail("POST", "/v1/files", Fault("status", 503), times=9)
    with pytest.raises(UnreachableError):
        ftsdk.submit(spec())

    assert 0 == service.creations


@pytest.mark.parametrize("status", [401, 403, 500])
def test_a_list_that_is_refused_keeps_the_doubt(service, spec, status):
    """The creation was sent; that the list cannot be had does not make it undone."""
    service.fail("POST", CREATE, Fault("drop"))
    service.fail("GET", "/v1/trainings", Fault("status", status), times=99)
    job = parked(spec())

    with pytest.raises(AmbiguousError):
        ftsdk.resume(job)
    assert 1 == service.creations


def test_killed_between_upload_and_create(service, spec, tmp_path):
    """A process that dies there has paid nothing; the next submit with its key uploads again and creates once."""
    code = """
        import os, signal, ftsdk
        from ftsdk_replicate import submit
        def die(*_): os.kill(os.getpid(), signal.SIGKILL)
        submit._body = die
        ftsdk.submit(PATH, key="one")
    """
    _killed(code, spec(), tmp_path)
    ftsdk.submit(spec(), key="one")

    assert (1, 1, 2) == (service.creations, len(service.trainings), len(service.files))


def test_killed_behind_the_creation(service, spec, tmp_path):
    """A process that dies before it could keep the id has paid once; the next submit finds the training."""
    code = """
        import os, signal, ftsdk
        from ftsdk_replicate.api import ReplicateApi
        create = ReplicateApi.create_training
        def die(self, *args):
            create(self, *args); os.kill(os.getpid(), signal.SIGKILL)
        ReplicateApi.create_training = die
        ftsdk.submit(PATH, key="one")
    """
    _killed(code, spec(), tmp_path)
    job = ftsdk.submit(spec(), key="one")

    assert (1, job.ref) == (service.creations, f"replicate:{next(iter(service.trainings))}")


def _killed(code, spec, tmp_path):
    path = tmp_path / "job.json"
    path.write_text(spec.model_dump_json(exclude_unset=True))
    program = textwrap.dedent(code).replace("PATH", repr(str(path)))
    process = subprocess.run([sys.executable, "-c", program], check=False, env=dict(os.environ), timeout=60)
    assert -signal.SIGKILL == process.returncode


def test_two_submissions_are_two_trainings(service, spec):
    """The same rows twice are two addresses, and two different trainings."""
    jobs = {ftsdk.submit(spec()).ref for _ in range(2)}

    assert (2, 2) == (len(jobs), service.creations)


def test_a_token_is_enough_to_find_it(service, backend, spec):
    """Where nobody kept the address of the rows, the token among the file's metadata leads to the training."""
    plan = backend.plan(spec(), backend.Options.model_validate(spec().backend_options["replicate"]))
    training_id = backend.submit(plan, "a" * 26, lambda **_: None)

    assert (training_id, None) == (backend.find("a" * 26, plan), backend.find("b" * 26, plan))


def test_rows_on_the_web(service, spec):
    """Nothing is uploaded; the address has the token in its fragment, which no host sees."""
    job = ftsdk.submit(spec(replicate={"rows_url": "https://example.org/rows.jsonl"}))

    address = body_of(service)["input"]["train_data"]
    assert (0, True) == (len(service.files), address.startswith("https://example.org/rows.jsonl#ftsdk="))
    assert job.status().state is not JobState.UNKNOWN


def test_no_destination(service, spec):
    """It must be there, before anything is uploaded."""
    service.models.clear()
    with pytest.raises(RejectedError, match="does not exist, or is not yours"):
        ftsdk.submit(spec())

    assert (0, 0) == (len(service.files), service.creations)


@pytest.mark.parametrize("fault", [None, Fault("lose"), Fault("done", 500)], ids=str)
def test_a_destination_is_created_when_asked(service, spec, fault):
    """Private, once, also where the answer is lost."""
    service.models.clear()
    if fault:
        service.fail("POST", "/v1/models", fault)
    ftsdk.submit(spec(replicate={"create_destination": True, "hardware": "gpu-t4"}))

    body = next(r.body for r in service.requests if (r.method, r.path) == ("POST", "/v1/models"))
    assert ("private", "gpu-t4") == (body["visibility"], body["hardware"])
    assert ({"me/tuned"}, 1) == (service.models, service.creations)


def test_an_unpinned_trainer_is_pinned(service, backend, spec):
    """What the plan saw is what trains, also if its maker pushes a new version meanwhile."""
    unpinned = spec(replicate={"trainer": "acme/modern"})
    plan = backend.plan(unpinned, backend.Options.model_validate(unpinned.backend_options["replicate"]))

    assert HEX["modern"] == plan.native["version"]


def test_rows_that_do_not_fit(service, spec, tmp_path):
    """They are named by file and line, and nothing is uploaded."""
    path = tmp_path / "chat.jsonl"
    path.write_text('{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Arr"}]}\n')
    with pytest.raises(DataError) as caught:
        ftsdk.submit(spec(dataset=str(path)))

    assert [f"{path}:1"] == [problem.where for problem in caught.value.problems]
    assert 0 == len(service.files)


def test_too_large_for_an_upload(service, spec, monkeypatch):
    """Replicate takes less than 100 MB; the way out is named."""
    monkeypatch.setattr(rows_module, "LARGEST", 100)
    with pytest.raises(RejectedError, match="rows_url"):
        ftsdk.submit(spec())

    assert 0 == len(service.files)


def test_rows_that_changed(service, backend, spec, rows):
    """What was planned is what is sent."""
    plan = ftsdk.plan(spec())
    rows.write_text(rows.read_text() + '{"prompt": "x", "completion": "y"}\n')
    with pytest.raises(DataError, match="changed or removed"):
        backend.submit(plan, "a" * 26, lambda **_: None)

    assert 0 == service.creations


def test_other_bytes(service, spec):
    """A file that arrived damaged trains nothing."""
    service.fail(
        "POST", "/v1/files", Fault("done", 201, body={"urls": {"get": "u"}, "checksums": {"sha256": "0" * 64}})
    )
    with pytest.raises(RejectedError, match="other bytes"):
        ftsdk.submit(spec())

    assert 0 == service.creations


def test_secrets_are_sent_and_kept_nowhere(service, spec, monkeypatch, ftsdk_home):
    """The trainer's own key goes from the environment into the request, and into no plan, record or log."""
    monkeypatch.setenv("HF_TOKEN", "hf_canary-value-0123456789")
    job = ftsdk.submit(spec(replicate={"secrets": {"hf_token": "HF_TOKEN"}}))

    assert "hf_canary-value-0123456789" == body_of(service)["input"]["hf_token"]
    stored = b"".join(path.read_bytes() for path in ftsdk_home.rglob("*") if path.is_file())
    assert (False, False) == (b"hf_canary" in stored, KEY.encode() in stored)
    assert job.status().state is not JobState.UNKNOWN


def test_no_token(spec, monkeypatch):
    """The error comes before anything is sent."""
    monkeypatch.delenv("REPLICATE_API_TOKEN")
    with pytest.raises(AuthError, match="REPLICATE_API_TOKEN is not set"):
        ftsdk.plan(spec())


@pytest.mark.parametrize("ending", ["", "/", "/v1"])
def test_any_form_of_the_address(service, spec, monkeypatch, ending):
    """The host's root, as the 1.x client expects it, or with /v1, as the 2.x one does."""
    monkeypatch.setenv("REPLICATE_BASE_URL", service.url + ending)
    ftsdk.submit(spec())

    assert 1 == service.creations


def test_doubt_is_an_error_of_its_own(service, backend, spec):
    """A caller of the backend itself gets it raised."""
    service.fail("POST", CREATE, Fault("drop"))
    plan = backend.plan(spec(), backend.Options.model_validate(spec().backend_options["replicate"]))
    facts = {}
    with pytest.raises(AmbiguousError):
        backend.submit(plan, "a" * 26, lambda **new: facts.update(new))
    with pytest.raises(AmbiguousError):
        backend.find("a" * 26, plan.model_copy(update={"facts": facts}))
