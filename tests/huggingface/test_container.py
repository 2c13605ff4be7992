"""The script in the container: it needs nothing, installs what is missing, and does a job once."""

import json
import os
import stat
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import hub_scripts
import pytest

from ftsdk.huggingface import container
from ftsdk_hfjobs.package import code

UV = """#!/bin/sh
echo "uv $*" >> "$UV_LOG"
for last; do :; done
if [ "$1" = venv ]; then mkdir -p "$last/bin" && ln -s "$REAL_PYTHON" "$last/bin/python"; fi
"""


@pytest.fixture
def uv(tmp_path, monkeypatch):
    """An installer that keeps account of what it was told."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "uv").write_text(UV)
    (folder / "uv").chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("UV_LOG", str(tmp_path / "uv.log"))
    monkeypatch.setenv("REAL_PYTHON", sys.executable)
    return tmp_path / "uv.log"


def task(**changes):
    return {"code": None, "check": "", "python": "3.12", "lock": "lock.txt", **changes}


def test_an_image_that_has_everything(uv, tmp_path):
    """Its own Python is taken, and nothing is installed."""
    assert sys.executable == container.prepare(task(), tmp_path)
    assert not uv.exists()


def test_an_image_that_lacks_something(uv, tmp_path, monkeypatch, capfd):
    """An environment is made from the lock file alone: nothing is resolved anew."""
    monkeypatch.setattr(container, "_HERE", tmp_path)
    (tmp_path / "lock.txt").write_text("# what it needs\nnumpy==2.4.6\ntorch==2.13.0\n")
    python = container.prepare(task(check="import no_such_package"), tmp_path)
    venv, torch, install = uv.read_text().splitlines()

    assert torch.endswith("lock.txt torch")
    assert (str(tmp_path / "venv" / "bin" / "python"), True) == (python, "--python 3.12" in venv)
    assert all(word in install for word in ("--no-deps", "-r", "lock.txt"))
    assert "installing what the image lacks" in capfd.readouterr().out


def test_it_needs_nothing_of_ours(tmp_path):
    """The bare Python of an image can read it: no import but the standard library's."""
    program = [sys.executable, "-I", "-S", "-c", f"import runpy; runpy.run_path({container.__file__!r}, run_name='x')"]

    assert 0 == subprocess.run(program, check=False, cwd=tmp_path).returncode


def test_our_code_comes_along(tmp_path):
    """The zip holds what the worker imports, says its version, and is the same bytes each time."""
    path = tmp_path / "code.zip"
    path.write_bytes(code())
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "code")
    program = "import ftsdk, ftsdk_local.worker, importlib.metadata as m; print(ftsdk.__file__, m.version('ftsdk'))"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "code")}
    told = subprocess.run(
        [sys.executable, "-P", "-c", program], env=environment, capture_output=True, text=True, check=True
    )

    assert [str(tmp_path / "code" / "ftsdk" / "__init__.py"), "0.1.0"] == told.stdout.split()
    assert code.__wrapped__() == code()


@pytest.mark.parametrize(("status", "reason"), [(None, "timeout"), (-9, "worker_lost")])
def test_a_command_that_reports_nothing(tmp_path, status, reason):
    """Killed, or out of time: the outcome says so, and there is no artifact."""
    given = {"outcome": "exit.json", "keep": [], "product": "artifact", "leave": []}
    outcome = container.collect(given, tmp_path, tmp_path / "result", status)

    assert ("failed", reason) == (outcome["state"], outcome["reason"])
    assert outcome == json.loads((tmp_path / "result" / "outcome.json").read_text())


def test_it_keeps_its_token_to_itself(tmp_path, monkeypatch, capfd):
    """What a command prints passes through a mask, and is kept so."""
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecretsecretsecret")
    given = {
        "command": ["-c", "import os; print(os.environ['HF_TOKEN'])"],
        "seconds": 60,
        "events": "",
        "heartbeat": "",
    }

    assert 0 == container.run(given, tmp_path)
    assert "[secret]\n" == capfd.readouterr().out


def test_what_a_command_prints_is_no_happening(tmp_path, capfd):
    """A line that looks like one of ours, printed by a user's own code, stays a line."""
    program = f"print({container.MARK!r} + '{{}}')"
    container.run({"command": ["-c", program], "seconds": 60, "events": "", "heartbeat": ""}, tmp_path)

    assert f" {container.MARK}{{}}\n" == capfd.readouterr().out


def test_out_of_time(tmp_path):
    """A command that does not end is ended with all that it has started."""
    given = {"command": ["-c", "import time; time.sleep(60)"], "seconds": 0.3, "events": "", "heartbeat": ""}

    assert container.run(given, tmp_path) is None


def test_a_child_that_stays_behind(tmp_path, monkeypatch):
    """What a command leaves running does not hold up its job, even where it keeps the pipe."""
    monkeypatch.setattr(container, "_LAST_WORDS_SECONDS", 0.2)
    child = "import subprocess; subprocess.Popen(['sleep', '30'], start_new_session=True)"
    before = time.monotonic()

    assert 0 == container.run({"command": ["-c", child], "seconds": 60, "events": "", "heartbeat": ""}, tmp_path)
    assert time.monotonic() - before < 25


def test_a_success_counts_more_than_the_deadline(tmp_path):
    """What was whole when the time was over is sent."""
    (tmp_path / "exit.json").write_text('{"state": "succeeded"}')
    (tmp_path / "artifact").mkdir()
    given = {"outcome": "exit.json", "keep": [], "product": "artifact", "leave": []}

    assert "succeeded" == container.collect(given, tmp_path, tmp_path / "result", None)["state"]


def test_events_are_passed_on(tmp_path, capfd):
    """Each whole line of the job's events is printed once, and its progress where it changes."""
    program = (
        "import json, time\n"
        'open(\'events.jsonl\', \'w\').write(\'{"kind": "log"}\\n{"kind": "torn\')\n'
        "open('beat.json', 'w').write(json.dumps({'step': 3, 'total_steps': 9, 'stage': 'training'}))\n"
    )
    given = {"command": ["-c", program], "seconds": 60, "events": "events.jsonl", "heartbeat": "beat.json"}
    container.run(given, tmp_path)
    lines = [line.removeprefix(container.MARK) for line in capfd.readouterr().out.splitlines()]

    assert '{"kind": "log"}' in lines
    assert {"kind": "progress", "stage": "training", "step": 3, "total_steps": 9, "eta_seconds": None} in [
        json.loads(line) for line in lines
    ]


def test_a_job_is_done_once(service, spec, backend, tmp_path, monkeypatch):
    """Started again, as a Space may be, it finds its results and does nothing."""
    import ftsdk

    service.run = hub_scripts.succeed
    job = ftsdk.submit(spec())
    job.wait(timeout=20)
    store = service.jobs[0].request["volumes"][0]["source"]
    commits = len(service.repos["model", store].commits)
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: _api(service))

    assert 0 == container.work({"repo": store}, tmp_path)
    assert commits == len(service.repos["model", store].commits)


def _api(service):
    from huggingface_hub import hf_api

    return hf_api.HfApi(endpoint=service.url)


def test_the_hub_fails_for_a_moment(monkeypatch):
    """What was made has been paid for: sending it is tried again, and then the error is raised."""
    monkeypatch.setattr(container.time, "sleep", lambda _: None)
    answers = [OSError("busy"), OSError("busy"), "sent"]

    def send():
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    assert "sent" == container.insistently(send)
    monkeypatch.setattr(container, "_INSIST_SECONDS", 0)
    with pytest.raises(ZeroDivisionError):
        container.insistently(lambda: 1 / 0)


def test_its_place_is_where_it_lies():
    """The plan's paths begin where a Job mounts its repository."""
    assert container.MOUNT == "/ftsdk/"
    assert Path(container.__file__).name == "container.py"
