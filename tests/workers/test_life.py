import os
import signal
import subprocess
import sys
import textwrap
import time

import psutil
import pytest

from ftsdk.errors import JobNotFound, JobNotReady
from ftsdk.job_types import JobState, Reason
from ftsdk.workers import attempt, driver
from ftsdk.workers.attempt import latest_attempt
from ftsdk.workers.outcome import Outcome


def test_a_job_runs_to_its_end(bench):
    """A submitted job succeeds, and its status has its progress."""
    status = bench.wait(bench.submit("quick"))

    assert (JobState.SUCCEEDED, 3, 3, 1.0) == (status.state, status.step, status.total_steps, status.progress)


def test_a_job_belongs_to_one_backend(bench):
    """A backend does not know the jobs of another one, although all lie in one folder."""
    job = bench.submit("quick")

    with pytest.raises(JobNotFound, match="no llamafactory job"):
        driver.job_folder("llamafactory", job)


def test_the_exit_report_has_the_figures(bench):
    """The exit report has the step and the peak of memory."""
    job = bench.submit("quick")
    bench.wait(job)

    outcome = Outcome.model_validate_json(bench.folder(job).exit.read_text())

    assert (3, True) == (outcome.step, outcome.peak_memory > 2**20)


def test_the_same_token_makes_one_job(bench):
    """Submitting again with the same token neither makes nor starts anything."""
    token = bench.token()
    job = bench.submit("quick", token)
    bench.wait(job)

    again = bench.submit("quick", token)

    assert (job, 1) == (again, latest_attempt(bench.folder(job)).number)


def test_tokens_that_end_alike_make_two_jobs(bench):
    """A name that is taken by another token grows longer."""
    first = bench.submit("quick", "a" * 20 + "zzzzzz")
    second = bench.submit("quick", "b" * 20 + "zzzzzz")

    assert ["sft-zzzzzz", "sft-bbbbzzzzzz"] == [first, second]


def test_find_is_certain(bench):
    """Find knows a job by its token, and knows that there is no other."""
    token = bench.token()
    job = bench.submit("quick", token)

    ids = [bench.backend.find(candidate, bench.plan("quick")) for candidate in (token, bench.token())]

    assert [job, None] == ids


def test_a_submission_that_broke_off_is_finished(bench, monkeypatch):
    """A folder whose submitter was killed too early counts for nothing, and the next submit completes it."""
    token = bench.token()
    with monkeypatch.context() as patch:
        patch.setattr(driver, "_start", lambda *_: None)
        bench.submit("quick", token)
    job = bench.backend.find(token, bench.plan("quick"))

    status = bench.wait(bench.submit("quick", token))

    assert (None, JobState.SUCCEEDED) == (job, status.state)


def test_a_worker_that_cannot_start_is_reported(bench):
    """A worker that dies before it can report anything fails its job with the last line of the log."""
    command = (sys.executable, "-c", "import no_such_module")

    status = bench.wait(driver.submit(bench.plan("quick"), bench.token(), command))

    assert (Reason.WORKER_LOST, True) == (status.reason, "no_such_module" in status.message)


def test_a_killed_worker_is_lost(bench):
    """A job whose worker was killed has failed, whatever its files last reported, and its hint is how to resume."""
    job = bench.submit("stops_on_request")
    bench.wait(job, JobState.RUNNING)

    os.kill(bench.pid(job), signal.SIGKILL)
    status = bench.wait(job)

    assert (JobState.FAILED, Reason.WORKER_LOST, f"ftsdk resume local:{job}") == (
        status.state,
        status.reason,
        status.hint,
    )


def test_a_crash_leaves_its_evidence(bench):
    """The interpreter's last lines are in the status of a worker that crashed."""
    status = bench.wait(bench.submit("crash"))

    assert "the worker was killed or crashed: Fatal Python error: Aborted" == status.message


def test_a_lost_job_can_be_resumed(bench):
    """Resume starts a second attempt on the same folder."""
    job = bench.submit("stops_on_request")
    bench.wait(job, JobState.RUNNING)
    os.kill(bench.pid(job), signal.SIGKILL)
    bench.wait(job)

    bench.backend.resume(job)
    status = bench.wait(job, JobState.RUNNING)

    assert (JobState.RUNNING, 2) == (status.state, latest_attempt(bench.folder(job)).number)


def test_resume_waits_until_the_last_worker_is_gone(bench):
    """A worker that has reported its end, but still holds the job, does not keep its successor out."""
    job = bench.submit("slow_to_end")
    bench.wait(job)

    bench.backend.resume(job)
    status = bench.wait(job, JobState.RUNNING, JobState.FAILED)

    assert (JobState.RUNNING, 2) == (status.state, latest_attempt(bench.folder(job)).number)


def test_resume_keeps_the_earlier_report(bench):
    """The exit report of an earlier attempt stays in the folder under its number."""
    job = bench.submit("failure")
    bench.wait(job)

    bench.backend.resume(job)
    bench.wait(job)

    reports = [bench.folder(job).past_exit(1).exists(), bench.folder(job).exit.exists()]
    assert [True, True] == reports


@pytest.mark.parametrize("engine", ["quick", "stops_on_request"])
def test_what_needs_no_resume_is_refused(bench, engine):
    """A job that has succeeded or still lives cannot be resumed."""
    job = bench.submit(engine)
    bench.wait(job, JobState.SUCCEEDED, JobState.RUNNING)

    with pytest.raises(JobNotReady, match="nothing to resume"):
        bench.backend.resume(job)


def test_two_resumes_start_one_worker(bench):
    """Of two processes that resume a job at once, one is refused."""
    job = bench.submit("fails_once")
    bench.wait(job)
    code = f"from ftsdk_local import LocalBackend as L; L.command = {bench.backend.command!r}; L().resume({job!r})"

    processes = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) for _ in range(2)]
    refused = ["JobNotReady" in process.communicate()[1] for process in processes]
    bench.wait(job, JobState.RUNNING)

    assert ([False, True], 2) == (sorted(refused), latest_attempt(bench.folder(job)).number)


def test_a_second_worker_leaves_at_once(bench):
    """A worker that finds another one at the job does nothing."""
    job = bench.submit("stops_on_request")
    bench.wait(job, JobState.RUNNING)
    before = bench.pid(job)

    second = subprocess.run([*bench.backend.command, str(bench.folder(job).path), "0"], timeout=20, check=False)

    assert (0, before, JobState.RUNNING) == (second.returncode, bench.pid(job), bench.status(job).state)


def test_a_number_used_again_is_not_the_worker(bench):
    """A process that has the worker's number, but started at another time, is neither trusted nor killed."""
    job = bench.submit("stops_on_request")
    bench.wait(job, JobState.RUNNING)
    folder = bench.folder(job)
    recorded = latest_attempt(folder)
    stale = recorded.model_copy(update={"started": recorded.started - 100})
    folder.worker.write_text(stale.model_dump_json())

    bench.backend.cancel(job)

    assert (Reason.WORKER_LOST, True) == (bench.status(job).reason, psutil.pid_exists(recorded.pid))


def test_a_restart_of_the_machine_is_detected(bench):
    """A worker from before the machine's last start is lost, even if its number and start time fit."""
    job = bench.submit("stops_on_request")
    bench.wait(job, JobState.RUNNING)
    folder = bench.folder(job)
    before = latest_attempt(folder).model_copy(update={"boot_id": "another"})
    folder.worker.write_text(before.model_dump_json())

    status = bench.status(job)

    assert (Reason.WORKER_LOST, "the machine was restarted") == (status.reason, status.message)


def test_the_system_out_of_memory_is_suspected(bench, monkeypatch):
    """A worker killed while the system killed processes for lack of memory was likely one of them."""
    job = bench.submit("stops_on_request")
    bench.wait(job, JobState.RUNNING)
    monkeypatch.setattr(attempt, "oom_kills", lambda: 10**9)

    os.kill(bench.pid(job), signal.SIGKILL)
    status = bench.wait(job)

    assert (Reason.OOM, True) == (status.reason, "likely" in status.message)


def test_a_system_that_ends_the_worker_is_no_cancel(bench):
    """SIGTERM without a request of a user, as at a shutdown, saves a checkpoint and fails the job as preempted."""
    job = bench.submit("stops_on_request")
    bench.wait(job, JobState.RUNNING)

    os.kill(bench.pid(job), signal.SIGTERM)
    status = bench.wait(job)

    assert (Reason.PREEMPTED, True) == (status.reason, bench.folder(job).checkpoints.exists())


def test_a_worker_without_progress_is_warned_of(bench, monkeypatch):
    """A running job that does not go forward keeps running, with a warning."""
    job = bench.submit("stops_on_request")
    bench.wait(job, JobState.RUNNING)
    os.kill(bench.pid(job), signal.SIGSTOP)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 3600)

    status = bench.status(job)

    assert (JobState.RUNNING, ("no sign of life for 60 minutes",)) == (status.state, status.warnings)


@pytest.mark.parametrize("name", ["sft-nobody", "..", "../jobs", "", ".new-x", "a\0b", "a" * 5000])
def test_an_unknown_id_is_not_found(bench, name):
    """An id that names no job, or leaves the folder of jobs, is not found."""
    with pytest.raises(JobNotFound):
        bench.status(name)


def test_fetch_waits_for_success(bench, tmp_path):
    """A job that has made nothing has nothing to fetch."""
    job = bench.submit("failure")
    bench.wait(job)

    with pytest.raises(JobNotReady):
        bench.backend.fetch(job, tmp_path / "out")


def test_twenty_submits_from_five_processes(bench):
    """Processes that submit at the same time lose no job, double none, and each job ends well."""
    code = textwrap.dedent(f"""
        import sys
        from ftsdk.backend import Plan
        from ftsdk.spec import JobSpec
        from ftsdk.workers import driver
        plan = Plan(backend="local", spec=JobSpec(model="m", dataset="d"), native={{"engine": "quick"}})
        for n in range(4):
            print(driver.submit(plan, f"{{sys.argv[1]}}{{n}}".rjust(26, "a"), {bench.backend.command!r}))
    """)
    submitters = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", code, str(n)], stdout=subprocess.PIPE, text=True)
        for n in range(5)
    ]
    jobs = [job for process in submitters for job in process.communicate()[0].split()]

    states = [bench.wait(job, seconds=120).state for job in jobs]

    assert (20, {JobState.SUCCEEDED}) == (len(set(jobs)), set(states))
