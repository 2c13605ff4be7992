"""However the network and the service behave, a submission makes one job or none, and the records say which."""

import subprocess
import sys

import pytest
from together_service import Fault

import ftsdk
from ftsdk.errors import AmbiguousError, AuthError, FtsdkError, RejectedError, UnreachableError
from ftsdk.job_types import JobState

CREATE = ("POST", "/v1/fine-tunes")
LIST = ("GET", "/v1/fine-tunes")

LOST_ANSWERS = {
    "answer lost": Fault("lose"),
    "500 after the creation": Fault("done", 500),
    "503 after the creation": Fault("done", 503),
    "408 after the creation": Fault("done", 408),
    "409 after the creation": Fault("done", 409),
    "garbage": Fault("garbage"),
}
"""The job is there, and no answer says so."""

DOUBTFUL_ANSWERS = {
    "connection dropped": Fault("drop"),
    "silence": Fault("hang"),
    "500": Fault("status", 500),
    "503 that asks for another try": Fault("status", 503, {"x-should-retry": "true", "Retry-After": "0"}),
    "408": Fault("status", 408),
    "409": Fault("status", 409),
    "302 without a place": Fault("status", 302),
}
"""Nothing was done, and the caller cannot know."""


@pytest.fixture(autouse=True)
def _hurried(backend):
    """Every test of this module uses the backend in a hurry."""


def submit(spec):
    """The job, or the error of its submission; and its status by a second request."""
    try:
        ftsdk.submit(spec)
        error = None
    except FtsdkError as raised:
        error = raised
    [job] = ftsdk.jobs()
    return error, job


@pytest.mark.parametrize("fault", LOST_ANSWERS.values(), ids=LOST_ANSWERS)
def test_a_lost_answer_is_found_again(service, spec, fault):
    """Where the job was created and the answer was lost, the job is adopted, and nothing is created again."""
    service.fail(*CREATE, fault)

    error, job = submit(spec())

    assert (None, list(service.jobs), 1) == (error, [job.ref.removeprefix("together:")], service.creations)


@pytest.mark.parametrize("fault", DOUBTFUL_ANSWERS.values(), ids=DOUBTFUL_ANSWERS)
def test_a_doubtful_creation_is_parked(service, spec, fault):
    """Where it is unknown whether there is a job, none is created again, and the record says so."""
    service.fail(*CREATE, fault)

    error, job = submit(spec())

    assert (AmbiguousError, JobState.UNKNOWN, 1) == (type(error), job.state, service.creations)
    assert f"ftsdk status {job.id}" in error.hint


def test_a_parked_job_is_adopted_when_it_shows_up(service, spec):
    """A list that lags behind creations parks the job; the next status finds it."""
    service.list_lag = 60.0
    service.fail(*CREATE, Fault("lose"))
    error, job = submit(spec())

    service.list_lag = 0.0
    status = ftsdk.status(job.id)

    assert (AmbiguousError, 1) == (type(error), service.creations)
    assert status.state is not JobState.UNKNOWN
    assert f"together:{next(iter(service.jobs))}" == ftsdk.Client().job(job.id).ref


def test_a_list_that_lags_a_little_is_waited_for(service, spec):
    """Within the time to settle, a late list is no doubt."""
    service.list_lag = 0.3
    service.fail(*CREATE, Fault("lose"))

    error, job = submit(spec(together={"settle_seconds": 3}))

    assert (None, 1) == (error, service.creations)
    assert job.ref == f"together:{next(iter(service.jobs))}"


@pytest.mark.parametrize("code", [401, 403, 404, 500])
def test_a_hidden_list_parks(service, spec, code):
    """While the list cannot be had, also because the key is refused now, nothing is concluded; later it is."""
    service.fail(*CREATE, Fault("lose"))
    service.fail(*LIST, Fault("status", code), times=200)
    error, job = submit(spec())
    service.faults.clear()

    assert (AmbiguousError, JobState.UNKNOWN) == (type(error), job.state)
    assert ftsdk.status(job.id).state is not JobState.UNKNOWN
    assert 1 == service.creations


def test_status_never_creates(service, spec):
    """However often the status of a parked job is read or it is resumed, no second creation is sent."""
    service.fail(*CREATE, Fault("drop"))
    _, job = submit(spec())

    for _ in range(3):
        assert ftsdk.status(job.id).state is JobState.UNKNOWN
        with pytest.raises(AmbiguousError):
            ftsdk.resume(job.id)

    assert 1 == service.creations


def test_recreate_is_for_those_who_ask(service, spec):
    """With on_ambiguous=recreate, a creation that never shows up is sent once more."""
    service.fail(*CREATE, Fault("drop"))

    error, _ = submit(spec(together={"on_ambiguous": "recreate"}))

    assert (None, 2, 1) == (error, service.creations, len(service.jobs))


def test_recreate_checks_first(service, spec):
    """Also with on_ambiguous=recreate, a job that shows up is not created again."""
    service.fail(*CREATE, Fault("lose"))

    submit(spec(together={"on_ambiguous": "recreate"}))

    assert 1 == service.creations


def test_busy_is_no_doubt(service, spec):
    """429 means that nothing was created: the same creation is sent again, when the service says so."""
    service.fail(*CREATE, Fault("status", 429, {"Retry-After": "0.05"}))

    error, _ = submit(spec())

    assert (None, 1) == (error, len(service.jobs))


def test_busy_for_too_long_can_be_resumed(service, spec):
    """A service that stays busy leaves a job that was certainly not created, and that a resume sends."""
    service.fail(*CREATE, Fault("status", 429, {"Retry-After": "3600"}))
    error, job = submit(spec())

    assert (UnreachableError, "interrupted", 1) == (type(error), job.status.stage, service.creations)
    assert ftsdk.resume(job.id).ref.startswith("together:ft-")
    assert 1 == len(service.jobs)


@pytest.mark.parametrize(("code", "kind"), [(400, RejectedError), (401, AuthError), (402, RejectedError)])
def test_a_no_is_final(service, spec, code, kind):
    """A refused creation fails the job with the service's words; nothing is tried again."""
    service.fail(*CREATE, Fault("status", code, body={"error": {"message": "because"}}))

    error, job = submit(spec())

    assert (kind, JobState.FAILED, 1, 0) == (type(error), job.state, service.creations, len(service.jobs))


def test_a_service_that_is_away_can_be_resumed(service, spec, monkeypatch):
    """Where no connection is made at all, nothing was sent: the job waits to be resumed."""
    plan = ftsdk.plan(spec())
    monkeypatch.setattr("ftsdk.client.planning.draft", lambda *_, **__: (ftsdk.registry.load_backend("x"), plan))
    monkeypatch.setenv("TOGETHER_BASE_URL", "http://127.0.0.1:9")
    error, job = submit(spec())
    monkeypatch.setenv("TOGETHER_BASE_URL", service.url)

    assert (UnreachableError, "interrupted", 0) == (type(error), job.status.stage, service.creations)
    ftsdk.resume(job.id)
    assert 1 == len(service.jobs)


def test_duplicates_are_cancelled(service, spec):
    """Where something between us and the service made two jobs of one creation, one is kept and paid."""
    service.seconds = 30
    service.fail(*CREATE, Fault("lose"))
    create = service.add_job
    service.add_job = lambda body: (create(body), create(body))[1]

    _, job = submit(spec())

    alive = [name for name, job_ in service.jobs.items() if not job_["cancelled"]]
    assert (2, [job.ref.removeprefix("together:")]) == (len(service.jobs), alive)


CRASH = """
import os, sys
import ftsdk
from ftsdk import registry
from ftsdk_together import TogetherBackend, api, submit

where = sys.argv[1]
registry.load_backend = lambda name: TogetherBackend(api.Timeouts(poll_interval=0.02))
die = lambda *_, **__: os._exit(9)
if where == "before upload":
    api.TogetherApi.upload = die
if where == "after upload":
    submit._check_price = die
if where == "before create":
    submit.create = die
if where == "after create":
    submit._record_differences = die
ftsdk.submit(ftsdk.JobSpec.model_validate_json(sys.argv[2]))
"""


def crash(where, spec):
    """A process that submits, and is gone at once at the given place."""
    arguments = [CRASH, where, spec.model_dump_json(exclude_unset=True)]
    process = subprocess.run([sys.executable, "-c", *arguments], check=False)
    assert process.returncode == 9
    [job] = ftsdk.jobs()
    return job.id


@pytest.mark.parametrize("where", ["before upload", "after upload"])
def test_a_crash_before_the_creation_can_be_resumed(service, spec, where):
    """A submission that died before it created anything continues where it was, and sends no file twice."""
    job_id = crash(where, spec())

    assert "interrupted" == ftsdk.status(job_id).stage
    ftsdk.resume(job_id)
    assert (1, 1, 1) == (service.creations, len(service.jobs), service.count("PUT", "/storage/.*"))


def test_a_crash_around_the_creation_is_doubtful(service, spec):
    """A submission that died as it was about to create is parked: it is unknown whether the request left."""
    job_id = crash("before create", spec())

    assert JobState.UNKNOWN is ftsdk.status(job_id).state
    assert 0 == service.creations


def test_a_crash_behind_the_creation_loses_nothing(service, spec):
    """A submission that died after the answer came is found by its token."""
    job_id = crash("after create", spec())

    assert ftsdk.status(job_id).state is not JobState.UNKNOWN
    assert (f"together:{next(iter(service.jobs))}", 1) == (ftsdk.Client().job(job_id).ref, service.creations)


def test_the_client_itself_repeats_nothing(service, spec):
    """The official client, asked by a header to try again, sends no second creation."""
    service.fail(*CREATE, Fault("done", 500, {"x-should-retry": "true"}))

    submit(spec())

    retries = [r.headers.get("x-stainless-retry-count") for r in service.requests if (r.method, r.path) == CREATE]
    assert ["0"] == retries
