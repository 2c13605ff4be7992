"""Jobs that version 0.1.0 submitted can be observed, resumed and fetched; see jobs_of_0_1_0/README.md."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from together_service import KEY, serving

import ftsdk
from ftsdk.errors import AmbiguousError, FtsdkError
from ftsdk.files import sha256
from ftsdk.job_types import JobState
from ftsdk.store.store import Store

STORED = Path(__file__).parent / "jobs_of_0_1_0"
TEXTS = {".json", ".jsonl"}
SUCCEEDED, CANCELLED, FAKE = "local:sft-h6ub7k", "local:sft-nyc4xv", "fake:ft-d0ec217d34ea"
CREATED, REFUSED, PARKED = "together:ft-00000001-cafe", "together:sft-bwmlt3", "together:sft-h7n2ic"


@pytest.fixture(autouse=True)
def state(ftsdk_home, tiny_model, tmp_path):
    """The state folder of version 0.1.0."""
    rows = shutil.copy(STORED / "rows.jsonl", tmp_path)
    paths = {"@MODEL@": str(tiny_model), "@ROWS@": str(rows), "@HOME@": str(ftsdk_home)}

    def fill(text):
        for placeholder, path in paths.items():
            text = text.replace(placeholder, path)
        return text

    shutil.copytree(STORED / "state", ftsdk_home)
    for file in (file for file in ftsdk_home.rglob("*") if file.suffix in TEXTS):
        file.write_text(fill(file.read_text()))
    for seal in [*ftsdk_home.rglob("ftsdk-seal.json"), *ftsdk_home.rglob("ftsdk.json")]:
        update_hashes(seal)
    with closing(sqlite3.connect(ftsdk_home / "jobs.db")) as database:
        database.executescript(fill((STORED / "jobs.sql").read_text()))
    return ftsdk_home


def update_hashes(seal):
    """Fit the hashes of a sealed folder to the paths that were filled in."""
    document = json.loads(seal.read_text())
    for name in document["files"]:
        file = seal.parent / name
        document["files"][name] = {"size": file.stat().st_size, "sha256": sha256(file)}
    seal.write_text(json.dumps(document))


@pytest.fixture
def together(monkeypatch):
    """The stand-in for Together, as it was when version 0.1.0 had submitted; its list shows no jobs yet."""
    with serving() as service:
        submitted = json.loads((STORED / "together.json").read_text())
        service.jobs, service.files = submitted["jobs"], submitted["files"]
        service.list_lag = float("inf")
        monkeypatch.setenv("TOGETHER_BASE_URL", service.url)
        monkeypatch.setenv("TOGETHER_API_KEY", KEY)
        yield service


def test_every_job_is_listed():
    """All jobs are in the list, in their last known state."""
    states = {summary.ref: summary.state.value for summary in ftsdk.jobs()}

    assert {
        SUCCEEDED: "succeeded",
        CANCELLED: "cancelled",
        FAKE: "failed",
        CREATED: "running",
        REFUSED: "failed",
        PARKED: "unknown",
    } == states


def test_every_job_is_restored_from_its_copy(state):
    """Where the database is lost, the same jobs are restored from the copies, with their facts."""
    records = {summary.id: Store().get(summary.id) for summary in ftsdk.jobs()}
    (state / "jobs.db").unlink()

    restored = {summary.id: Store().get(summary.id) for summary in ftsdk.jobs()}

    assert records.keys() == restored.keys()
    for job_id, record in records.items():
        assert (record.token, record.facts, record.plan) == (
            restored[job_id].token,
            restored[job_id].facts,
            restored[job_id].plan,
        )


def test_the_history_can_be_read():
    """The entries of a job's history have their old fields."""
    actions = [change.what for change in Store().changes("sft-bwmlt3")]

    assert ("created", "refused") == (actions[0], actions[-1])


def test_a_local_job_that_succeeded(tmp_path):
    """Its status, events and logs can be read, and its artifact is fetched and verified."""
    job = ftsdk.job(SUCCEEDED)

    assert JobState.SUCCEEDED == job.status().state
    assert [1, 2] == [event.step for event in job.events() if event.kind == "metrics"]
    assert "dataset: 8 rows, 104 tokens, the longest 13" in list(job.logs())
    artifact = job.fetch(tmp_path / "out")
    artifact.verify()
    assert ("adapter", SUCCEEDED) == (artifact.kind, artifact.manifest.job)


@pytest.mark.engine
def test_a_cancelled_local_job_is_resumed(tmp_path):
    """It continues from its sealed checkpoint at step 9 to its last step, and is fetched."""
    job = ftsdk.job(CANCELLED)
    steps_before = [event.step for event in job.events() if event.kind == "metrics"]

    status = job.resume().wait(timeout=300)

    steps = [event.step for event in job.events() if event.kind == "metrics"]
    assert (JobState.SUCCEEDED, 30) == (status.state, status.step)
    assert (list(range(1, 10)), list(range(10, 31))) == (steps_before, steps[len(steps_before) :])
    assert "adapter" == job.fetch(tmp_path / "out").kind


def test_a_job_of_the_testing_backend(tmp_path):
    """A scripted job is observed, resumed to its end, and fetched."""
    job = ftsdk.job(FAKE)

    assert (JobState.FAILED, "oom") == ((status := job.status()).state, status.reason)
    assert JobState.SUCCEEDED == job.resume().wait(timeout=30).state
    assert "adapter" == job.fetch(tmp_path / "out").kind


def test_a_created_job_of_a_service(together):
    """It is observed by the service's id, without a second creation."""
    status = ftsdk.job(CREATED).status()

    assert (JobState.SUCCEEDED, 0) == (status.state, together.creations)
    assert "$5.50" == status.facts["price"]


def test_a_parked_job_of_a_service(together):
    """While the list does not show it, nothing is created; when it does, the job is adopted."""
    with pytest.raises(AmbiguousError):
        ftsdk.resume(PARKED)
    assert (JobState.UNKNOWN, 0) == (ftsdk.status(PARKED).state, together.creations)

    together.list_lag = 0.0
    adopted = ftsdk.job(PARKED)
    adopted.wait(timeout=30)

    assert ("together:ft-00000002-cafe", 0) == (ftsdk.job(PARKED).ref, together.creations)


def test_a_refused_job_of_a_service(together):
    """Nothing was created, so it can be sent again, once; the refusal is not taken for a lost answer."""
    with pytest.raises(FtsdkError):
        ftsdk.fetch(REFUSED, "out")

    job = ftsdk.resume(REFUSED)

    assert (JobState.SUCCEEDED, 1) == (job.wait(timeout=30).state, together.creations)
