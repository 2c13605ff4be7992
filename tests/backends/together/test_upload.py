"""Files on their way to Together, and the price, before anything is created."""

import json

import pytest
from together_service import Fault
from typer.testing import CliRunner

import ftsdk
from ftsdk.cli import app
from ftsdk.data.split import held_out
from ftsdk.errors import DataError, FtsdkError, RejectedError, UnreachableError
from ftsdk.job_types import JobState, Reason

PUT = ("PUT", "/storage/.*")


@pytest.fixture(autouse=True)
def _hurried(backend):
    """Every test of this module uses the backend in a hurry."""


def sent(service, file_id="file-1"):
    """The rows of an uploaded file."""
    return [json.loads(line) for line in service.contents[file_id].splitlines()]


def reason(spec):
    """Why the submission failed."""
    with pytest.raises(FtsdkError):
        ftsdk.submit(spec)
    return ftsdk.jobs()[0].status.reason


def test_rows_arrive_as_they_are(service, spec, rows):
    """The uploaded file has the rows, in order; it is named by its content and created for fine-tuning."""
    ftsdk.submit(spec())

    assert [json.loads(line) for line in rows.read_text().splitlines()] == sent(service)
    assert ("fine-tune", True) == (
        service.files["file-1"]["purpose"],
        service.files["file-1"]["checksum_"][:16] in service.files["file-1"]["filename"],
    )


def test_the_creation_is_the_plan(service, spec):
    """What is sent is the plan's request, but for the ids of the files and the token."""
    job_spec = spec(val_size=4)
    plan = ftsdk.plan(job_spec)
    ftsdk.submit(job_spec)

    [body] = [
        request.body for request in service.requests if (request.method, request.path) == ("POST", "/v1/fine-tunes")
    ]
    planned = dict(plan.native["create"])
    assert {"training_file", "validation_file", "suffix"} == {name for name in body if body[name] != planned[name]}
    assert body.keys() == planned.keys()
    assert ("file-1", "file-2") == (body["training_file"], body["validation_file"])
    assert len(body["suffix"]) <= 40


def test_held_out_rows_are_those_of_the_seed(service, spec):
    """The rows that are held out are drawn by the seed, as on every backend, and are not trained on."""
    ftsdk.submit(spec(val_size=4, training={"seed": 7}))

    apart = sorted(held_out(20, 4, 7))
    assert [f"{place} + 1 =" for place in apart] == [row["prompt"] for row in sent(service, "file-2")]
    assert 16 == len(sent(service, "file-1"))


FAULTS = {
    "begin: 500": ("POST", "/v1/files", Fault("status", 500)),
    "begin: busy": ("POST", "/v1/files", Fault("status", 429, {"Retry-After": "0"})),
    "begin: answer lost": ("POST", "/v1/files", Fault("lose")),
    "bytes: dropped": (*PUT, Fault("drop")),
    "bytes: answer lost": (*PUT, Fault("lose")),
    "bytes: 503": (*PUT, Fault("status", 503)),
    "check: 500": ("POST", "/v1/files/.*/preprocess", Fault("status", 500)),
    "check: answer lost": ("POST", "/v1/files/.*/preprocess", Fault("lose")),
    "read: dropped": ("GET", "/v1/files/.*", Fault("drop")),
    "read: hangs": ("GET", "/v1/files/.*", Fault("hang")),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_broken_upload_is_taken_up_again(service, spec, fault):
    """One fault anywhere on the way is overcome; the job has a checked file with all rows, and is created once."""
    service.fail(*fault)

    ftsdk.submit(spec())

    [job] = service.jobs.values()
    assert (20, 1) == (len(sent(service, job["training_file"])), service.creations)
    assert "COMPLETED" == service.files[job["training_file"]]["processing_status"]


def test_half_a_file_is_not_reused(service, spec):
    """A service that takes a broken-off upload for the file is sent the same rows in other bytes."""
    service.remembers_halves = True
    service.fail(*PUT, Fault("drop"))

    ftsdk.submit(spec())

    [job] = service.jobs.values()
    assert ("file-2", 20) == (job["training_file"], len(sent(service, "file-2")))


def test_an_upload_that_always_breaks_can_be_resumed(service, spec):
    """After a bounded number of tries, the job waits to be resumed; nothing was created."""
    service.fail(*PUT, Fault("drop"), times=50)

    with pytest.raises(UnreachableError):
        ftsdk.submit(spec())
    [job] = ftsdk.jobs()
    assert ("interrupted", 0) == (job.status.stage, service.creations)

    service.faults.clear()
    ftsdk.resume(job.id)
    assert 1 == service.creations


def test_the_same_rows_are_not_sent_twice(service, spec):
    """A second job on the same rows uses the file that is there, which is checked already."""
    ftsdk.submit(spec())
    ftsdk.submit(spec())

    assert (2, 1) == (len(service.jobs), service.count(*PUT))


def test_an_old_file_is_reused(service, spec):
    """Files from before there were checks have no status; that they are done with is enough."""
    ftsdk.submit(spec())
    service.files["file-1"] |= {"processing_status": None, "Processed": True}

    ftsdk.submit(spec())

    assert (2, 1) == (len(service.jobs), service.count(*PUT))


@pytest.mark.parametrize("flaw", [{"processing_status": "INVALID_FORMAT"}, {"bytes": 3}])
def test_a_useless_file_is_not_reused(service, spec, flaw):
    """A file of the same content that was found invalid, or is of another length, is not reused."""
    ftsdk.submit(spec())
    service.files["file-1"] |= flaw

    ftsdk.submit(spec())

    assert ["file-1", "file-2"] == [job["training_file"] for job in service.jobs.values()]
    assert sent(service, "file-1") == sent(service, "file-2")


def test_a_refused_file_creates_nothing(service, spec):
    """Rows that Together finds wrong end the submission with its words."""
    service.file_ends, service.file_error = "INVALID_FORMAT", "line 3: no assistant"

    with pytest.raises(RejectedError, match="line 3: no assistant"):
        ftsdk.submit(spec())
    assert (JobState.FAILED, 0) == (ftsdk.jobs()[0].state, service.creations)


def test_a_check_that_never_ends_can_be_resumed(service, spec):
    """The wait for Together's check is bounded, and a resume continues with the same file."""
    service.file_ends = "RUNNING"
    with pytest.raises(UnreachableError, match="not checked"):
        ftsdk.submit(spec(together={"processing_seconds": 0.1}))

    service.file_ends = "COMPLETED"
    ftsdk.resume(ftsdk.jobs()[0].id)
    assert (1, 1) == (service.creations, service.count("POST", "/v1/files"))


def test_nothing_is_uploaded_when_refused(service, spec):
    """A refused plan sends no row."""
    with pytest.raises(FtsdkError):
        ftsdk.submit(spec(training={"global_batch_size": 20}))
    with pytest.raises(FtsdkError):
        ftsdk.submit(spec(model="no/such-model"))

    assert 0 == service.count("POST", "/v1/files")


def test_unfit_rows_are_not_uploaded(service, spec, rows):
    """Rows that Together would refuse are named with their line, before anything is sent."""
    talk = [
        {"role": "developer", "content": "x"},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
    ]
    rows.write_text(json.dumps({"messages": talk}) + "\n")

    with pytest.raises(DataError, match=r"rows\.jsonl:1"):
        ftsdk.submit(spec())
    assert 0 == service.count("POST", "/v1/files")


def test_edited_rows_are_noticed(service, spec, rows, backend):
    """Rows that were changed between plan and upload are refused."""
    plan = ftsdk.plan(spec())
    rows.write_text('{"prompt": "a", "completion": "b"}\n')

    with pytest.raises(DataError, match="changed"):
        backend.submit(plan, "a" * 26, lambda **_: None)
    assert 0 == service.count("POST", "/v1/files")


def test_a_price_above_the_limit(service, spec):
    """An estimate above price_limit ends the submission; nothing was created."""
    assert (Reason.QUOTA, 0) == (reason(spec(together={"price_limit": 5.0})), service.creations)


def test_a_price_below_the_limit(service, spec):
    """An estimate up to price_limit goes through, and is requested for what is created."""
    ftsdk.submit(spec(together={"price_limit": 6.0}))

    [question] = [r.body for r in service.requests if r.path == "/v1/fine-tunes/estimate-price"]
    [job] = service.jobs.values()
    assert question == {name: job[name] for name in question}


def test_the_price_is_shown(service, spec):
    """The estimate stays with the job, and the command line shows it."""
    job = ftsdk.submit(spec())

    output = CliRunner().invoke(app, ["status", job.id]).output

    assert "$5.50" == job.status().facts["price"]
    assert "price       $5.50" in output


def test_a_price_that_cannot_be_paid(service, spec):
    """What the account cannot pay is not created, although the service itself would create it."""
    service.price["allowed_to_proceed"] = False

    assert (Reason.QUOTA, 0) == (reason(spec()), service.creations)


def test_no_price(service, spec):
    """An unknown price stops a job with a limit, and no other."""
    service.price = {"estimation_available": False, "unavailable_reason": "multimodal_dataset"}

    assert Reason.QUOTA is reason(spec(together={"price_limit": 50.0}))
    ftsdk.submit(spec())
    assert 1 == service.creations


def test_a_failing_estimate(service, spec):
    """A failing estimate stops a job with a limit, which can be resumed, and no other."""
    service.fail("POST", "/v1/fine-tunes/estimate-price", Fault("status", 500), times=3)
    with pytest.raises(UnreachableError):
        ftsdk.submit(spec(together={"price_limit": 50.0}))
    ftsdk.resume(ftsdk.jobs()[0].id)

    service.fail("POST", "/v1/fine-tunes/estimate-price", Fault("status", 500), times=3)
    ftsdk.submit(spec())
    assert 2 == service.creations


def test_keys_go_to_the_service_alone(service, spec, monkeypatch, ftsdk_home, caplog):
    """A tracker's key is in the request, and in no plan, record, log or status."""
    monkeypatch.setenv("WANDB_API_KEY", "wandb-canary-1234567890")
    caplog.set_level("DEBUG")

    job = ftsdk.submit(spec(report_to=["wandb"]))

    assert "wandb-canary-1234567890" == next(iter(service.jobs.values()))["wandb_key"]
    visible = repr([job, job.status(), ftsdk.plan(spec(report_to=["wandb"]))]) + caplog.text
    stored = b"".join(path.read_bytes() for path in ftsdk_home.rglob("*") if path.is_file())
    assert "canary" not in visible
    assert b"canary" not in stored
