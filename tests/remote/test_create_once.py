"""What the facts of a job say of the creation that was sent for it."""

import pytest

from ftsdk.backend import Plan
from ftsdk.errors import AmbiguousError
from ftsdk.remote.create_once import CreationRecord, CreationState, IdempotentCreate
from ftsdk.spec import JobSpec

STORED = {
    "nothing was sent": ({}, None),
    "sent": ({"creation": "sent at 1764385200.125"}, CreationRecord(CreationState.UNCONFIRMED, 1764385200.125)),
    "refused": ({"creation": "refused"}, CreationRecord(CreationState.REFUSED)),
    "created": (
        {"creation": "sent at 1764385200.125", "job": "ft-1", "price": "$4.10"},
        CreationRecord(CreationState.CREATED, 1764385200.125, "ft-1"),
    ),
    "created, time unknown": ({"job": "ft-1"}, CreationRecord(CreationState.CREATED, job_id="ft-1")),
    "unreadable": ({"creation": "sent at noon"}, CreationRecord(CreationState.UNCONFIRMED)),
}
"""Facts of jobs that ftsdk 0.1 stored, and what they mean."""

RECORDS = [
    CreationRecord(CreationState.UNCONFIRMED, 1764385200.125),
    CreationRecord(CreationState.REFUSED),
    CreationRecord(CreationState.CREATED, job_id="ft-1"),
]


@pytest.mark.parametrize(("facts", "creation"), STORED.values(), ids=STORED)
def test_stored_facts_are_read(facts, creation):
    """Records of the first version are read; a text that nobody can read counts as sent, for a job may run."""
    assert creation == CreationRecord.parse(facts)


@pytest.mark.parametrize("creation", RECORDS, ids=lambda creation: creation.state)
def test_records_are_read_as_they_were_written(creation):
    """What is stored now is read as the same record."""
    assert creation == CreationRecord.parse(creation.facts())


def idempotent_create(facts, on_ambiguous):
    """The creation of a job with these facts."""
    native = {"on_ambiguous": on_ambiguous, "settle_seconds": 0.0}
    spec = JobSpec(model="m", dataset="d.jsonl")
    return IdempotentCreate("Acme", Plan(backend="acme", spec=spec, native=native, facts=facts), 0.01, "look again")


@pytest.mark.parametrize(("facts", "job_id"), [({}, None), ({"creation": "refused"}, None), ({"job": "ft-1"}, "ft-1")])
def test_certain_facts_need_no_list(facts, job_id):
    """Where the facts are certain, the service's list decides nothing."""
    assert job_id == idempotent_create(facts, "park").find(lambda: pytest.fail("the list was read"))


@pytest.mark.parametrize(
    ("text", "on_ambiguous"),
    [("sent at 1764385200.125", "park"), ("sent at noon", "park"), ("sent at noon", "recreate")],
)
def test_a_creation_without_an_answer_is_parked(text, on_ambiguous):
    """A second creation needs the user's consent, and the time of the first."""
    with pytest.raises(AmbiguousError, match="a creation was sent to Acme"):
        idempotent_create({"creation": text}, on_ambiguous).find(lambda: None)


def test_recreate_checks_and_then_allows_a_second_creation():
    """With the user's consent, a creation that never showed up may be sent again; one that shows up may not."""
    creation = idempotent_create({"creation": "sent at 1764385200.125"}, "recreate")

    assert (None, "ft-1") == (creation.find(lambda: None), creation.find(lambda: "ft-1"))
