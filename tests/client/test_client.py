"""The functions of the client, from submit to fetch, on the fake backend."""

import json
import pickle

import pytest

import ftsdk
from ftsdk import client
from ftsdk.errors import (
    AmbiguousError,
    ArtifactError,
    BackendError,
    InputError,
    JobCancelled,
    JobFailed,
    JobNotFound,
    JobNotReady,
    KeyMismatch,
    RejectedError,
    WaitTimeout,
)
from ftsdk.job_types import JobRef, JobState
from ftsdk.store.store import Store
from ftsdk.testing import FakeBackend, service


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    turns = [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}]
    path.write_text("".join(json.dumps({"messages": turns}) + "\n" for _ in range(4)))
    return path


@pytest.fixture
def spec(rows):
    def make(**script):
        options = {"fake": script} if script else {}
        return ftsdk.JobSpec(model="org/model", dataset=str(rows), backend="fake", backend_options=options)

    return make


def creations():
    return len(list(service.folder().glob("*.jsonl")))


def test_main_line(spec, tmp_path):
    """Submit, wait and fetch put the artifact into the folder."""
    job = ftsdk.submit(spec())

    assert JobState.SUCCEEDED == ftsdk.wait(job).state
    assert (tmp_path / "out") == job.fetch(tmp_path / "out").path


def test_job_prints_as_its_reference(spec):
    """The reference that a user copies from the screen finds the job."""
    job = ftsdk.submit(spec())

    assert (str(job), job.id) == (job.ref, client.job(str(job)).id)


@pytest.mark.parametrize("name", [str, lambda job: JobRef.parse(job.ref), lambda job: job.id, lambda job: job])
def test_each_kind_of_reference_works(spec, name):
    """A string, a JobRef, a bare id and a Job name the same job."""
    assert JobState.SUCCEEDED == ftsdk.status(name(ftsdk.submit(spec()))).state


def test_job_of_another_machine_is_known_to_its_backend(spec, ftsdk_home):
    """A reference without a record here works in every function."""
    job = ftsdk.submit(spec(run_seconds=1000))
    (ftsdk_home / "jobs.db").unlink()
    (ftsdk_home / "records" / f"{job.id}.json").unlink()

    assert JobState.RUNNING == ftsdk.status(job.ref).state
    assert JobState.CANCELLED == ftsdk.cancel(job.ref).state
    assert job.ref == ftsdk.resume(job.ref).ref


@pytest.mark.parametrize("ref", ["sft-aaaaaa", "fake:ft-000000000000", "\ud800", ""])
def test_unknown_job_is_not_found(ref):
    """An unknown job is an error that names the command that lists jobs."""
    with pytest.raises(JobNotFound, match="ftsdk jobs"):
        ftsdk.status(ref)


def test_jobs_lists_what_was_submitted(spec):
    """Every job is in the list, with its last known state."""
    refs = {ftsdk.submit(spec()).ref for _ in range(3)}

    assert refs == {line.ref for line in ftsdk.jobs()}


def test_record_is_written_before_the_backend_is_called(spec, monkeypatch):
    """When the backend is called, the job is already on disk, with its token and plan."""
    records = []

    def submit(self, plan, token, record):
        line = Store().summaries()[0]
        records.append((line.state, line.status.stage, Store().get(line.id).token == token))
        return "ft-1"

    monkeypatch.setattr(FakeBackend, "submit", submit)
    ftsdk.submit(spec())

    assert [("pending", "submitting", True)] == records


def test_refused_job_is_kept_as_failed(spec):
    """A refusal is raised, and the record has the reason; nothing was created."""
    with pytest.raises(RejectedError):
        ftsdk.submit(spec(reject=True))

    line = ftsdk.jobs()[0]
    assert (JobState.FAILED, "provider_error", 0) == (line.state, line.status.reason, creations())
    assert "refuses" in line.status.message


def test_lost_answer_is_resolved(spec):
    """The job was created, but the answer was lost: it is found by its token, and not created again."""
    job = ftsdk.submit(spec(lose_answer=True))

    assert (1, JobState.SUCCEEDED) == (creations(), job.status().state)


def test_lost_request_is_reported_and_can_be_resumed(spec):
    """The request was lost: the error says so, nothing exists, and resume sends it once."""
    with pytest.raises(AmbiguousError, match="ftsdk resume sft-"):
        ftsdk.submit(spec(lose_request=True))
    line = ftsdk.jobs()[0]
    assert (0, "pending", "interrupted") == (creations(), line.state, line.status.stage)

    assert (JobState.SUCCEEDED, 1) == (ftsdk.resume(line.id).wait().state, creations())


def test_undecided_submission_is_parked(spec):
    """Where it is not known whether the job exists, neither resume nor the same key creates another."""
    with pytest.raises(AmbiguousError, match="ftsdk status sft-"):
        ftsdk.submit(spec(lose_answer=True, find_undecided=True), key="one")
    line = ftsdk.jobs()[0]
    with pytest.raises(AmbiguousError):
        ftsdk.resume(line.id)
    with pytest.raises(AmbiguousError):
        ftsdk.submit(spec(lose_answer=True, find_undecided=True), key="one")

    assert (JobState.UNKNOWN, 1) == (ftsdk.status(line.id).state, creations())


def test_parked_job_is_adopted_when_it_is_listed(spec):
    """A job that its system lists late is adopted by the first observation that finds it."""
    with pytest.raises(AmbiguousError):
        ftsdk.submit(spec(lose_answer=True, find_lag_seconds=0.3))

    assert JobState.SUCCEEDED == ftsdk.wait(ftsdk.jobs()[0].id, poll=0.1, timeout=30).state


def test_ctrl_c_after_creation_loses_nothing(spec, monkeypatch):
    """Ctrl-C while waiting for the answer is raised, and the job that exists is adopted."""
    create = service.create

    def interrupted(*args):
        create(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(service, "create", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ftsdk.submit(spec())

    assert JobState.SUCCEEDED == ftsdk.status(ftsdk.jobs()[0].ref).state


def test_same_key_is_the_same_job(spec):
    """Submitting again with the key gives the first job."""
    assert ftsdk.submit(spec(), key="one").ref == ftsdk.submit(spec(), key="one").ref
    assert 1 == creations()


def test_same_key_with_another_spec_is_an_error(spec):
    """A key belongs to one spec."""
    ftsdk.submit(spec(), key="one")

    with pytest.raises(KeyMismatch, match="'one' belongs to the job fake:ft-"):
        ftsdk.submit(spec(steps=11), key="one")


@pytest.mark.parametrize("key", ["", "two\nlines", "\ud800"])
def test_odd_keys_are_refused(spec, key):
    """A key is a word or a line, so that it can be shown and typed again."""
    with pytest.raises(InputError, match="key"):
        ftsdk.submit(spec(), key=key)

    assert 0 == creations()


def test_same_key_completes_an_interrupted_submission(spec):
    """The same key sends a job that never arrived, under the same token."""
    lost_request = spec(lose_request=True)
    with pytest.raises(AmbiguousError):
        ftsdk.submit(lost_request, key="one")
    token = Store().get(ftsdk.jobs()[0].id).token

    assert token == Store().get(ftsdk.submit(lost_request, key="one").id).token
    assert 1 == creations()


def test_final_state_is_known_without_the_backend(spec, monkeypatch):
    """A final status is stored: the backend is not asked again."""
    job = ftsdk.submit(spec())
    job.wait()
    monkeypatch.setattr("ftsdk.registry.load_backend", None)

    assert JobState.SUCCEEDED == ftsdk.status(job).state


def test_unreachable_system_leaves_the_last_known_state(spec):
    """A system that does not answer is a warning beside the last known state, not a failure."""
    status = ftsdk.submit(spec(unreachable_seconds=1000)).status()

    assert (JobState.QUEUED, 1, True) == (status.state, len(status.warnings), "as last known" in status.warnings[0])


def test_wait_survives_an_outage(spec):
    """Waiting continues during a time without answers."""
    assert JobState.SUCCEEDED == ftsdk.submit(spec(unreachable_seconds=0.3)).wait(poll=0.1, timeout=30).state


def test_wait_raises_reason_and_next_step(spec):
    """A failed job raises its reason, the evidence, and the next step."""
    job = ftsdk.submit(spec(outcome="oom"))
    with pytest.raises(JobFailed) as caught:
        job.wait()

    error = caught.value
    assert (job.ref, "oom", True, True) == (error.ref, error.reason, bool(error.evidence), bool(error.hint))


def test_wait_gives_up_in_time(spec):
    """After the timeout, the job continues."""
    job = ftsdk.submit(spec(run_seconds=1000))
    with pytest.raises(WaitTimeout, match="the job goes on"):
        job.wait(timeout=0.05)

    assert JobState.RUNNING == job.status().state


def test_wait_polls_more_rarely_while_nothing_changes(spec, monkeypatch):
    """The pause between two requests grows up to a limit."""
    job, pauses = ftsdk.submit(spec(queue_seconds=1000)), []

    def sleep(seconds):
        pauses.append(seconds)
        if len(pauses) == 12:
            raise KeyboardInterrupt

    monkeypatch.setattr("ftsdk.client.follow.time.sleep", sleep)
    with pytest.raises(KeyboardInterrupt):
        job.wait(poll=1.0)

    assert (1.0, 10.0, sorted(pauses)) == (pauses[0], max(pauses), pauses)


def test_wait_polls_as_often_as_the_backend_requires(spec, monkeypatch):
    """The first pause is the backend's own: a local folder can be polled more often than a service."""
    job, pauses = ftsdk.submit(spec(queue_seconds=1000)), []

    def sleep(seconds):
        pauses.append(seconds)
        raise KeyboardInterrupt

    monkeypatch.setattr("ftsdk.client.follow.time.sleep", sleep)
    monkeypatch.setattr(FakeBackend, "pause", 0.7)
    with pytest.raises(KeyboardInterrupt):
        job.wait()

    assert [0.7] == pauses


def test_wait_passes_on_each_event_once(spec):
    """The callback gets every event, in order, and none twice."""
    received = []
    job = ftsdk.submit(spec(run_seconds=0.5))
    job.wait(poll=0.1, on_event=received.append)

    assert [event.cursor for event in job.events()] == [event.cursor for event in received]


def test_events_continue_after_a_cursor(spec):
    """Events can be read in two parts."""
    job = ftsdk.submit(spec())
    first, *rest = job.events()

    assert rest == list(job.events(after=first.cursor))


def test_followed_events_end_with_the_job(spec, monkeypatch):
    """Following ends when the job is done, with nothing missing."""
    monkeypatch.setattr("ftsdk.client.follow.time.sleep", lambda _: None)
    job = ftsdk.submit(spec(run_seconds=0.5))
    followed = list(job.events(follow=True))

    assert (JobState.SUCCEEDED, list(job.events())) == (followed[-1].state, followed)


def test_logs_are_the_lines_of_log(spec):
    """Logs are the log events' text."""
    job = ftsdk.submit(spec())

    assert [event.message for event in job.events() if event.kind == "log"] == list(job.logs())


def test_cancel_stops_the_job(spec):
    """A cancelled job ends as such, and waiting for it says so."""
    job = ftsdk.submit(spec(run_seconds=1000))
    job.cancel()
    with pytest.raises(JobCancelled):
        job.wait(poll=0.05)

    assert JobState.CANCELLED == job.cancel().state


def test_ignored_cancel_may_still_succeed(spec):
    """Where a system ignores a cancel, the job is cancelling while it runs, and then has its final state."""
    job = ftsdk.submit(spec(run_seconds=0.5, ignore_cancel=True))

    assert (JobState.CANCELLING, JobState.SUCCEEDED) == (job.cancel().state, job.wait(poll=0.1).state)


def test_cancel_of_a_finished_job_does_nothing(spec):
    """A cancel that comes too late is no error."""
    job = ftsdk.submit(spec())
    job.wait()

    assert JobState.SUCCEEDED == job.cancel().state


def test_cancel_of_a_job_that_was_never_sent(spec):
    """An interrupted submission can be cancelled, and its key does not send it again."""
    with pytest.raises(AmbiguousError):
        ftsdk.submit(spec(lose_request=True), key="one")
    job = client.job(ftsdk.jobs()[0].id)

    assert (JobState.CANCELLED, job.id) == (job.cancel().state, ftsdk.submit(spec(lose_request=True), key="one").id)
    assert 0 == creations()


def test_resume_starts_another_attempt(spec):
    """A failed job continues as a second attempt of the same job."""
    job = ftsdk.submit(spec(outcome="oom"))
    with pytest.raises(JobFailed):
        job.wait()

    assert (job.ref, JobState.SUCCEEDED) == (job.resume().ref, job.wait().state)
    assert 2 == Store().get(job.id).attempt


@pytest.mark.parametrize("script", [{}, {"run_seconds": 1000}])
def test_resume_needs_a_job_that_stopped(spec, script):
    """A job that runs or has succeeded cannot be resumed."""
    job = ftsdk.submit(spec(**script))

    with pytest.raises(JobNotReady, match="nothing to resume"):
        job.resume()


def test_undeclared_verbs_are_refused(spec, monkeypatch):
    """A verb that a backend does not declare is not called."""
    job = ftsdk.submit(spec(run_seconds=1000))
    declared = FakeBackend().capabilities()
    monkeypatch.setattr(FakeBackend, "capabilities", lambda _: declared.model_copy(update={"verbs": frozenset()}))

    for verb in (job.cancel, lambda: list(job.events()), lambda: list(job.logs())):
        with pytest.raises(BackendError, match="does not support this"):
            verb()


def test_fetch_needs_the_end(spec, tmp_path):
    """A job that still runs has nothing to fetch."""
    with pytest.raises(JobNotReady, match="nothing to fetch yet"):
        ftsdk.submit(spec(run_seconds=1000)).fetch(tmp_path / "out")


def test_fetch_may_be_repeated(spec, tmp_path):
    """Fetching again into the same folder gives the same artifact."""
    job = ftsdk.submit(spec())

    assert job.fetch(tmp_path / "out") == job.fetch(tmp_path / "out")


def test_fetch_preserves_files_in_the_folder(spec, tmp_path):
    """A folder in use is refused, and with force it is renamed, never emptied."""
    job, out = ftsdk.submit(spec()), tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("precious")
    with pytest.raises(ArtifactError, match="not empty"):
        job.fetch(out)
    job.fetch(out, force=True)

    assert ["precious"] == [path.read_text() for path in tmp_path.glob("out.before-*/thesis.txt")]


def test_forced_fetch_that_fails_puts_the_folder_back(spec, tmp_path, monkeypatch):
    """When the fetch fails, the folder is as it was."""
    job, out = ftsdk.submit(spec()), tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("precious")

    def fail(*_):
        raise ArtifactError("damaged")

    monkeypatch.setattr(FakeBackend, "fetch", fail)
    with pytest.raises(ArtifactError, match="damaged"):
        job.fetch(out, force=True)

    assert ["thesis.txt"] == [path.name for path in out.iterdir()]


def test_no_secret_is_stored(spec, ftsdk_home, monkeypatch):
    """Facts and messages of a backend are stored without the secrets of the environment."""
    canary = "canary-9f8e7d6c5b4a"
    monkeypatch.setenv("ACME_API_KEY", canary)

    def submit(self, plan, token, record):
        record(upload=f"https://host/file?key={canary}")
        raise RejectedError(f"bad key {canary}", hint=f"replace {canary}")

    monkeypatch.setattr(FakeBackend, "submit", submit)
    with pytest.raises(RejectedError):
        ftsdk.submit(spec())

    files = [path for path in ftsdk_home.rglob("*") if path.is_file()]
    assert (True, []) == (len(files) >= 2, [path for path in files if canary.encode() in path.read_bytes()])


def test_a_key_finds_the_job_of_an_equal_spec(spec):
    """Defaults that are written out, as in a spec from a database, do not make it another spec."""
    job = ftsdk.submit(spec(), key="nightly")

    assert job.ref == ftsdk.submit(ftsdk.JobSpec.model_validate(spec().model_dump()), key="nightly").ref


def test_a_handle_can_be_pickled(spec):
    """A handle is pickled as its reference."""
    job = ftsdk.submit(spec())
    again = pickle.loads(pickle.dumps(job))

    assert (job.ref, job.id, job.status().state) == (again.ref, again.id, again.status().state)
