"""The store under many processes at once: no record is lost or duplicated."""

import contextlib
import multiprocessing
from collections import Counter

import pytest

from ftsdk.client import lifecycle
from ftsdk.client.submission import submit
from ftsdk.errors import JobNotReady
from ftsdk.process_identity import current_process
from ftsdk.spec import JobSpec
from ftsdk.store.record import JobRecord
from ftsdk.store.store import Store
from ftsdk.testing import FakeBackend, service
from ftsdk.testing.script import Script

SPEC = JobSpec(model="org/model", dataset="rows.jsonl")
PLAN = FakeBackend().plan(SPEC, Script())


def run_in_processes(count, work):
    """Run ``work`` in so many processes that start at the same moment; returns their results."""
    context = multiprocessing.get_context("fork")  # the libraries are loaded once
    start, answers = context.Barrier(count), context.SimpleQueue()

    def run():
        start.wait()
        try:
            answers.put(work())
        except Exception as error:  # noqa: BLE001 - the parent raises it
            answers.put(error)

    processes = [context.Process(target=run) for _ in range(count)]
    for process in processes:
        process.start()
    results = [answers.get() for _ in processes]
    for process in processes:
        process.join()
    for error in results:
        if isinstance(error, Exception):
            raise error
    return results


@pytest.mark.slow
def test_fifty_processes_submit_at_once():
    """1,000 submissions from 50 processes make 1,000 records and 1,000 jobs, each with its own token."""

    def work():
        store = Store()
        return [submit(store, FakeBackend(), PLAN).ref for _ in range(20)]

    refs = [ref for process_refs in run_in_processes(50, work) for ref in process_refs]

    assert (1000, set(refs)) == (len(set(refs)), {line.ref for line in Store().summaries()})
    assert 1000 == len(list(service.folder().glob("*.jsonl")))


def test_first_opening_by_thirty_processes():
    """Thirty processes that find no database create one, once, and all of them use it."""

    def work():
        return Store().create(JobRecord.new(PLAN, key=None, submitter=current_process()))[0].id

    assert set(run_in_processes(30, work)) == {line.id for line in Store().summaries()}


def test_one_key_from_ten_processes():
    """Ten processes that submit with one key make one job."""
    ids = run_in_processes(10, lambda: submit(Store(), FakeBackend(), PLAN, key="nightly").id)

    assert (1, 1) == (len(set(ids)), len(list(service.folder().glob("*.jsonl"))))


def test_ten_processes_resume_one_job():
    """Of ten processes that resume one interrupted submission, one sends it; the others fail or find it."""
    job_id = (
        Store().create(JobRecord.new(PLAN, key=None, submitter=current_process()._replace(boot_id="long ago")))[0].id
    )

    def work():
        with contextlib.suppress(JobNotReady):
            lifecycle.resume(Store(), FakeBackend(), Store().get(job_id))

    run_in_processes(10, work)
    jobs = list(service.folder().glob("*.jsonl"))
    assert (1, Store().get(job_id).native_id) == (len(jobs), jobs[0].name.split(".")[0])


def test_no_change_is_lost():
    """Ten processes that each add to one record five times leave fifty additions, and revisions without gaps."""
    job_id = Store().create(JobRecord.new(PLAN, key=None, submitter=current_process()))[0].id

    def work():
        for _ in range(5):
            Store().update(job_id, "count", lambda now: now.replace(attempt=now.attempt + 1))

    run_in_processes(10, work)
    revisions = Counter(change.rev for change in Store().changes(job_id))
    assert (51, dict.fromkeys(range(1, 52), 1)) == (Store().get(job_id).attempt, revisions)
