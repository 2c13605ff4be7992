import os
import signal
import time

import pytest

from ftsdk.job_types import JobState
from ftsdk.workers.device_queue import take_ticket


def hold(bench, ftsdk_home, count):
    """One job that has the device, and more behind it, in this order."""
    jobs = [bench.submit("gated")]
    bench.wait(jobs[0], JobState.RUNNING)
    for _ in range(count):
        jobs.append(bench.submit("gated"))
        tickets = ftsdk_home / "devices" / "cpu.queue"
        end = time.monotonic() + 30
        while int(tickets.read_text()) < len(jobs):
            assert time.monotonic() < end
            time.sleep(0.01)
    return jobs


def order(ftsdk_home):
    return (ftsdk_home / "order").read_text().split()


def test_jobs_wait_for_the_device(bench, ftsdk_home):
    """While one job has the device, the next is queued, and its stage names the device."""
    _, second = hold(bench, ftsdk_home, 1)

    while (status := bench.wait(second, JobState.QUEUED)).stage != "waiting for cpu":
        time.sleep(0.02)

    assert JobState.QUEUED == status.state


def test_the_queue_is_first_come_first_served(bench, ftsdk_home):
    """Five jobs run one after another in the order of their tickets; one killed and one cancelled are left out."""
    jobs = hold(bench, ftsdk_home, 4)
    os.kill(bench.pid(jobs[1]), signal.SIGKILL)
    bench.backend.cancel(jobs[3])
    bench.wait(jobs[3], JobState.CANCELLED, seconds=5)

    (ftsdk_home / "go").touch()
    states = [bench.wait(job).state for job in jobs]

    ok, failed, cancelled = JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED
    assert ([ok, failed, ok, cancelled, ok], [jobs[0], jobs[2], jobs[4]]) == (states, order(ftsdk_home))


def test_a_killed_job_frees_the_device(bench, ftsdk_home):
    """The next job starts as soon as the one at the device is killed."""
    first, second = hold(bench, ftsdk_home, 1)

    os.kill(bench.pid(first), signal.SIGKILL)

    assert JobState.RUNNING == bench.wait(second, JobState.RUNNING, seconds=5).state


def test_two_devices_do_not_wait_for_each_other(ftsdk_home):
    """Each device has a queue of its own."""
    tickets = [take_ticket(device).number for device in ("cuda-0", "cuda-1")]

    assert [0, 0] == tickets


@pytest.mark.parametrize("content", [b"", b"\0" * 20, b"torn", "٣".encode()])
def test_a_lost_counter_begins_anew(ftsdk_home, content):
    """A counter that a power cut has damaged stops no job."""
    (ftsdk_home / "devices").mkdir(parents=True)
    (ftsdk_home / "devices" / "cpu.queue").write_bytes(content)

    assert 0 == take_ticket("cpu").number


def test_a_lost_counter_gives_no_ticket_twice(bench, ftsdk_home):
    """A ticket that is held is not given again, even when the counter is lost."""
    first, second = hold(bench, ftsdk_home, 1)
    (ftsdk_home / "devices" / "cpu.queue").write_bytes(b"")

    third = bench.submit("gated")
    (ftsdk_home / "go").touch()
    for job in (first, second, third):
        bench.wait(job, JobState.SUCCEEDED)

    assert [first, second, third] == order(ftsdk_home)
