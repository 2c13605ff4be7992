"""``ftsdk submit`` and ``wait``: what is printed where, and the exit code for scripts."""

import json
import subprocess

import pytest


def test_submit_prints_the_reference_alone(cli, write_spec):
    """A script can take the reference from stdout; the commands that help next are on stderr."""
    result = cli("submit", write_spec())

    ref = result.stdout.strip()
    assert ref.startswith("fake:")
    assert f"ftsdk fetch {ref} out/" in result.stderr


def test_submit_with_the_same_key_gives_the_same_job(cli, write_spec):
    """A key makes submitting safe to repeat."""
    first, second = (cli("submit", write_spec(), "--key", "mine").stdout for _ in range(2))

    assert first == second


def test_submit_takes_the_backend_from_the_command_line(cli, write_spec):
    """``--backend`` wins over the spec."""
    result = cli("submit", write_spec(), "--backend", "nonesuch")

    assert 1 == result.exit_code
    assert "nonesuch" in result.stderr


def test_strict_refuses_advice_that_would_be_ignored(cli, write_spec):
    """``--strict`` names the advice that would be ignored."""
    result = cli("submit", write_spec(), "compute.attention=sdpa", "--strict")

    assert 1 == result.exit_code
    assert "compute.attention" in result.stderr


def test_ignored_advice_is_reported(cli, write_spec):
    """Ignored advice is reported at submission, too, not only in the plan."""
    result = cli("submit", write_spec(), "compute.attention=sdpa")

    assert "ignored: compute.attention: the fake backend has no attention kernels" in result.stderr


def test_names_of_other_tools_are_shown_in_canonical_form(cli, write_spec):
    """A field with another tool's name is reported with the spec's own."""
    assert "lr -> training.learning_rate" in cli("submit", write_spec(fields={"lr": 1e-4})).stderr


def test_following_ends_with_the_result_and_how_to_fetch_it(cli, write_spec):
    """``submit --follow`` shows the progress of the job, then its state and the fetch command."""
    result = cli("submit", write_spec(steps=4), "--follow")

    assert "succeeded" in result.stdout
    assert "checkpoint at step 4" in result.stderr
    assert "ftsdk fetch fake:" in result.stderr


def test_wait_is_0_for_success(cli, submitted):
    """A script may rely on the exit code of ``wait``."""
    assert 0 == cli("wait", submitted()).exit_code


def test_wait_reports_why_a_job_failed(cli, submitted):
    """A failed job is exit code 1, with the reason and what to do about it."""
    result = cli("wait", submitted(outcome="oom"))

    assert 1 == result.exit_code
    assert "oom" in result.stderr
    assert "Next: " in result.stderr


def test_wait_reports_to_programs_why_a_job_failed(cli, submitted):
    """With ``--json`` the failure is data: reference, reason and hint."""
    ref = submitted(outcome="oom")

    document = json.loads(cli("wait", ref, "--json").stdout)

    assert ("JobFailed", ref, "oom") == (document["error"], document["ref"], document["reason"])
    assert document["hint"]


@pytest.mark.parametrize("script", [{"run_seconds": 60}, {"unknown_status": "MELTING"}])
def test_wait_gives_up_in_time(cli, submitted, script):
    """For a job that goes on, or has an unknown state, waiting ends after ``--timeout``."""
    result = cli("wait", submitted(**script), "--timeout", "0.05", "--json")

    assert (1, "WaitTimeout") == (result.exit_code, json.loads(result.stdout)["error"])


def test_an_unknown_state_is_reported_before_waiting(cli, submitted):
    """Waiting for a job with an unknown state starts with a message that says so."""
    result = cli("wait", submitted(unknown_status="MELTING"), "--timeout", "0.05")

    assert "is unknown" in result.stderr


def test_a_cancel_that_is_ignored_is_shown_as_such(cli, submitted):
    """A job that does not stop stays ``cancelling``."""
    result = cli("cancel", submitted(run_seconds=60, ignore_cancel=True), "--json")

    assert "cancelling" == json.loads(result.stdout)["state"]


def test_a_resumed_job_can_be_waited_for(cli, submitted):
    """A resumed job can be waited for under the reference that ``resume`` prints."""
    ref = submitted(outcome="worker_lost")
    cli("wait", ref)

    assert 0 == cli("wait", cli("resume", ref).stdout.strip()).exit_code


def test_fetched_files_are_in_the_named_folder(cli, submitted, tmp_path):
    """``fetch`` fills the folder and names the artifact."""
    result = cli("fetch", submitted(), "out", "--json")

    assert "adapter" == json.loads(result.stdout)["kind"]
    assert (tmp_path / "out" / "ftsdk.json").is_file()


def test_a_lost_answer_is_reported(cli, write_spec):
    """Where it is not known whether a job was created, the error says so, and the job is not lost."""
    result = cli("submit", write_spec(lose_answer=True, find_undecided=True), "--json")

    assert (1, "AmbiguousError") == (result.exit_code, json.loads(result.stdout)["error"])
    assert 1 == len(json.loads(cli("jobs", "--json").stdout))


def test_ctrl_c_leaves_the_job_alone(cli, submitted, monkeypatch):
    """Ctrl-C stops following with exit code 130, and names the command that follows again."""
    ref = submitted(run_seconds=60)

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupt)
    for command in (("wait",), ("logs", "-f"), ("wait", "--json"), ("events", "-f", "--json")):
        result = cli(*command, ref)

        assert 130 == result.exit_code
        assert f"ftsdk wait {ref}" in result.stderr
    assert "running" == json.loads(cli("status", ref, "--json").stdout)["state"]


def test_the_installed_command_submits_and_exits_0(ftsdk_home, write_spec):
    """The installed command submits, prints one document and exits 0."""
    arguments = ["ftsdk", "submit", str(write_spec()), "--follow", "--json"]

    process = subprocess.run(arguments, capture_output=True, text=True, check=True)

    assert "succeeded" == json.loads(process.stdout)["state"]
