"""The store keeps job records."""

import stat

import pytest

from ftsdk.backend import Plan
from ftsdk.errors import JobNotFound, JobNotReady
from ftsdk.job_types import JobState, JobStatus
from ftsdk.process_identity import current_process
from ftsdk.spec import JobSpec
from ftsdk.store.record import JobRecord
from ftsdk.store.store import Store

PLAN = Plan(backend="fake", spec=JobSpec(model="org/model", dataset="rows.jsonl", name="mine"), native={"epochs": 3})
RUNNING = JobStatus(state=JobState.RUNNING, step=3, total_steps=10, metrics={"loss": 1.5})


def new_record(key=None):
    return JobRecord.new(PLAN, key=key, submitter=current_process())


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def record(store):
    return store.create(new_record())[0]


def test_record_comes_back_as_it_was(record):
    """Another store, as in another process, returns the whole record."""
    assert record == Store().get(record.id)


def test_plan_comes_back_as_it_was(record):
    """A stored plan is the plan, with the same fields set by the user: resuming sends what was planned."""
    again = Plan.model_validate(Store().get(record.id).plan)

    assert (PLAN, PLAN.spec.model_fields_set) == (again, again.spec.model_fields_set)


def test_id_is_method_and_end_of_token(record):
    """The id is short enough to type, and the token long enough not to be guessed."""
    assert (f"sft-{record.token[-6:]}", 26) == (record.id, len(record.token))


def test_taken_name_is_replaced(store, record):
    """A record whose id and token are taken gets others, and nothing is overwritten."""
    again, is_new = store.create(record.replace(name="other"))

    assert (True, True, "mine") == (is_new, again.id != record.id, store.get(record.id).name)


def test_used_key_returns_the_first_record(store):
    """Creating with a used key stores nothing: the first record is returned."""
    first, _ = store.create(new_record(key="nightly"))

    assert (first, False) == store.create(new_record(key="nightly"))


@pytest.mark.parametrize("ref", ["fake:ft-1", "fake:{id}", "{id}"])
def test_job_is_found_by_each_of_its_names(store, record, ref):
    """The native id, the id with the backend, and the bare id all lead to the job."""
    store.update(record.id, "created", lambda now: now.replace(native_id="ft-1"))

    assert record.id == store.find(ref.format(id=record.id)).id


def test_unknown_job_is_not_found(store):
    """An unknown job is an error that names the command that lists jobs."""
    with pytest.raises(JobNotFound, match="ftsdk jobs"):
        store.get("sft-aaaaaa")


def test_update_counts_and_writes_history(store, record):
    """A change increments the revision, and the history has the action and the new values."""
    store.update(record.id, "observed", lambda now: now.replace(status=RUNNING))

    history = [(change.rev, change.what, set(change.data)) for change in store.changes(record.id)]
    assert [(1, "created", set()), (2, "observed", {"status"})] == history


def test_update_without_a_change_writes_nothing(store, record):
    """A change that changes nothing leaves no trace."""
    assert (record, 1) == (store.update(record.id, "x", lambda now: now), len(store.changes(record.id)))


def test_refused_update_changes_nothing(store, record):
    """An error in the change leaves the record as it was."""

    def refuse(now):
        raise JobNotReady("no")

    with pytest.raises(JobNotReady):
        store.update(record.id, "x", refuse)

    assert record == store.get(record.id)


def test_update_starts_from_what_another_process_wrote(store, record):
    """Two changes from two processes are both kept: none is overwritten by an older record."""
    Store().update(record.id, "facts", lambda now: now.replace(facts={"upload": "file-1"}))
    store.update(record.id, "observed", lambda now: now.replace(status=RUNNING))

    now = store.get(record.id)
    assert ({"upload": "file-1"}, RUNNING, 3) == (now.facts, now.status, now.rev)


def test_jobs_are_listed_newest_first(store):
    """The list of jobs starts with the newest, and can be limited."""
    ids = [store.create(new_record().replace(created=float(number)))[0].id for number in range(5)]

    assert [ids[4], ids[3]] == [summary.id for summary in store.summaries(2)]


def test_summary_has_the_essentials(store, record):
    """A summary has the job's reference, its model and its last observed state."""
    store.update(record.id, "observed", lambda now: now.replace(status=RUNNING, native_id="ft-1"))

    line = store.summaries()[0]
    assert ("fake:ft-1", "mine", "org/model", "sft", "running") == (
        line.ref,
        line.name,
        line.model,
        line.method,
        line.state,
    )


def test_files_are_for_the_user_alone(record, ftsdk_home):
    """No other user of the machine can read a record, its journal or its copy."""
    modes = {stat.S_IMODE(path.stat().st_mode) for path in ftsdk_home.rglob("*")}

    assert {0o600, 0o700} == modes


def test_database_url_is_taken_from_the_environment(monkeypatch, tmp_path):
    """FTSDK_DATABASE_URL names another database."""
    monkeypatch.setenv("FTSDK_DATABASE_URL", f"sqlite:///{tmp_path / 'team.db'}")
    Store().create(new_record())

    assert (tmp_path / "team.db").is_file()
