"""The script in the container: it needs no packages, installs what is missing, and runs a job once."""

import io
import json
import os
import stat
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import grimp
import hub_scripts
import pytest

import ftsdk
from ftsdk.backend import Plan
from ftsdk.huggingface import container
from ftsdk_autotrain import hosted
from ftsdk_autotrain.hosted import AutoTrainTask
from ftsdk_hfjobs import submit
from ftsdk_hfjobs.package import code
from ftsdk_hfjobs.submit import HfJobsTask

GOLDEN = Path(__file__).parent / "golden"
STORE = "me/ftsdk-sft-0123456789"
NATIVE = {
    "hfjobs": {
        "namespace": "me",
        "seconds": 5400,
        "lock": "lock.txt",
        "files": {"files/0/rows.jsonl": "/data/rows.jsonl", "files/reward/rewards.py": "/data/rewards.py"},
    },
    "autotrain": {
        "engine": "autotrain-advanced 0.8.36",
        "executor": "jobs",
        "namespace": "me",
        "seconds": 5400,
        "config": {"base_model": "org/tiny", "project_name": "ftsdk-job", "params": {"logging_steps": 5}},
        "rows": {"model_revision": "0123abc"},
    },
}
WRITERS = {"hfjobs": submit.container_task, "autotrain": hosted.container_task}
TASKS = {"hfjobs": HfJobsTask, "autotrain": AutoTrainTask}

UV = """#!/bin/sh
echo "uv $*" >> "$UV_LOG"
for last; do :; done
if [ "$1" = venv ]; then mkdir -p "$last/bin" && ln -s "$REAL_PYTHON" "$last/bin/python"; fi
"""


@pytest.fixture
def uv(tmp_path, monkeypatch):
    """An installer that logs its arguments."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "uv").write_text(UV)
    (folder / "uv").chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("UV_LOG", str(tmp_path / "uv.log"))
    monkeypatch.setenv("REAL_PYTHON", sys.executable)
    return tmp_path / "uv.log"


def task(**changes):
    values = {
        "repo": "me/job",
        "code": None,
        "check": "",
        "python": "3.12",
        "lock": "lock.txt",
        "command": [],
        "placed": [],
        "events": "",
        "heartbeat": "",
        "outcome": "exit.json",
        "product": "artifact",
        "keep": [],
        "seconds": 60,
        "pause": False,
        "leave": [],
    }
    return container.ContainerTask(**{**values, **changes})


def test_an_image_that_has_everything(uv, tmp_path):
    """Its own Python is used, and nothing is installed."""
    assert sys.executable == container.prepare(task(), tmp_path)
    assert not uv.exists()


def test_an_image_that_lacks_something(uv, tmp_path, monkeypatch, capfd):
    """An environment is created from the lock file alone: nothing is resolved again."""
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
    """The zip has what the worker imports, with its version, and is the same bytes each time."""
    path = tmp_path / "code.zip"
    path.write_bytes(code())
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "code")
    program = "import ftsdk, ftsdk_local.worker, importlib.metadata as m; print(ftsdk.__file__, m.version('ftsdk'))"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "code")}
    process = subprocess.run(
        [sys.executable, "-P", "-c", program], env=environment, capture_output=True, text=True, check=True
    )

    assert [str(tmp_path / "code" / "ftsdk" / "__init__.py"), "0.1.0"] == process.stdout.split()
    assert code.__wrapped__() == code()


def test_the_zip_has_what_jobs_need_and_no_more():
    """Every module that the engine imports is in it; the command line, the demo and the contract's tests are not."""
    graph = grimp.build_graph("ftsdk", "ftsdk_local", exclude_type_checking_imports=True, cache_dir=None)
    engine = {module for module in graph.modules if module.startswith("ftsdk_local")}
    needed = engine.union(*map(graph.find_upstream_modules, engine))
    with zipfile.ZipFile(io.BytesIO(code())) as archive:
        files = set(archive.namelist())
    paths = [module.replace(".", "/") for module in needed]

    assert [] == [path for path in paths if not {f"{path}.py", f"{path}/__init__.py"} & files]
    assert [] == [file for file in files if file.startswith(("ftsdk/cli/", "ftsdk/demo/", "ftsdk/testing/"))]
    assert len(code()) < 600_000


@pytest.mark.parametrize(("status", "reason"), [(None, "timeout"), (-9, "worker_lost")])
def test_a_command_that_reports_nothing(tmp_path, status, reason):
    """Killed, or out of time: the outcome says so, and there is no artifact."""
    outcome = container.collect(task(), tmp_path, tmp_path / "result", status)

    assert ("failed", reason) == (outcome["state"], outcome["reason"])
    assert outcome == json.loads((tmp_path / "result" / "outcome.json").read_text())


def test_it_keeps_its_token_to_itself(tmp_path, monkeypatch, capfd):
    """The token is masked in what a command prints, and in the copy of the log."""
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecretsecretsecret")
    program = "import os; print(os.environ['HF_TOKEN'])"

    assert 0 == container.run(task(command=["-c", program]), tmp_path)
    assert "[secret]\n" == capfd.readouterr().out


def test_what_a_command_prints_is_no_event(tmp_path, capfd):
    """A line with our prefix, printed by a user's own code, stays a line of log."""
    program = f"print({container.LOG_PREFIX!r} + '{{}}')"
    container.run(task(command=["-c", program]), tmp_path)

    assert f" {container.LOG_PREFIX}{{}}\n" == capfd.readouterr().out


def test_out_of_time(tmp_path):
    """A command that does not end is killed with all of its children."""
    endless = task(command=["-c", "import time; time.sleep(60)"], seconds=0.3)

    assert container.run(endless, tmp_path) is None


def test_a_child_that_stays_behind(tmp_path, monkeypatch):
    """A process that a command leaves running does not delay the job, even where it keeps the pipe open."""
    monkeypatch.setattr(container, "_OUTPUT_SECONDS", 0.2)
    child = "import subprocess; subprocess.Popen(['sleep', '30'], start_new_session=True)"
    before = time.monotonic()

    assert 0 == container.run(task(command=["-c", child]), tmp_path)
    assert time.monotonic() - before < 25


def test_a_success_counts_more_than_the_deadline(tmp_path):
    """An artifact that was complete when the time was over is uploaded."""
    (tmp_path / "exit.json").write_text('{"state": "succeeded"}')
    (tmp_path / "artifact").mkdir()

    assert "succeeded" == container.collect(task(), tmp_path, tmp_path / "result", None)["state"]


def test_events_are_passed_on(tmp_path, capfd):
    """Each complete line of the job's events is printed once, and its progress where it changes."""
    program = (
        "import json, time\n"
        'open(\'events.jsonl\', \'w\').write(\'{"kind": "log"}\\n{"kind": "torn\')\n'
        "open('beat.json', 'w').write(json.dumps({'step': 3, 'total_steps': 9, 'stage': 'training'}))\n"
    )
    container.run(task(command=["-c", program], events="events.jsonl", heartbeat="beat.json"), tmp_path)
    lines = [line.removeprefix(container.LOG_PREFIX) for line in capfd.readouterr().out.splitlines()]

    assert '{"kind": "log"}' in lines
    assert {"kind": "progress", "stage": "training", "step": 3, "total_steps": 9, "eta_seconds": None} in [
        json.loads(line) for line in lines
    ]


def test_a_job_is_done_once(service, spec, backend, tmp_path, monkeypatch):
    """Restarted, as a Space may be, it finds its results and does nothing."""
    service.run = hub_scripts.succeed
    job = ftsdk.submit(spec())
    job.wait(timeout=20)
    store = service.jobs[0].request["volumes"][0]["source"]
    commits = len(service.repos["model", store].commits)
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: _api(service))

    assert 0 == container.work(task(repo=store), tmp_path)
    assert commits == len(service.repos["model", store].commits)


def _api(service):
    from huggingface_hub import hf_api

    return hf_api.HfApi(endpoint=service.url)


def test_the_hub_fails_for_a_moment(monkeypatch):
    """The results have been paid for: the upload is retried, and at last the error is raised."""
    monkeypatch.setattr(container.time, "sleep", lambda _: None)
    answers = [OSError("busy"), OSError("busy"), "sent"]

    def send():
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    assert "sent" == container.retry_for_minutes(send)
    monkeypatch.setattr(container, "_RETRY_SECONDS", 0)
    with pytest.raises(ZeroDivisionError):
        container.retry_for_minutes(lambda: 1 / 0)


@pytest.mark.parametrize("backend_name", WRITERS)
def test_the_task_on_the_wire(backend_name):
    """The keys and values of ``task.json`` are those of the first version, whose Jobs may still run."""
    spec = ftsdk.JobSpec.model_validate({"model": "org/tiny", "dataset": "/data/rows.jsonl", "name": "pirate"})
    plan = Plan(backend=backend_name, spec=spec, native=NATIVE[backend_name])
    text = WRITERS[backend_name](plan, STORE).to_json()

    assert json.loads((GOLDEN / f"task-{backend_name}.json").read_text()) == json.loads(text)


@pytest.mark.parametrize("backend_name", TASKS)
def test_a_task_of_the_first_version_is_read(backend_name):
    """By the container and by the backend; keys that a later version may add are passed over."""
    text = (GOLDEN / f"task-{backend_name}.json").read_text()
    values = json.loads(text)
    parsed = TASKS[backend_name].from_json(text)

    assert values == json.loads(parsed.to_json())
    assert values["command"] == container.ContainerTask.from_json(json.dumps({**values, "new": 1})).command


def test_a_task_of_another_tool_is_refused():
    """A file without our keys is no task."""
    with pytest.raises(KeyError):
        container.ContainerTask.from_json('{"repo": "me/job"}')


def test_its_path_is_the_mount_point():
    """The plan's paths begin where a Job mounts its repository."""
    assert container.MOUNT == "/ftsdk/"
    assert Path(container.__file__).name == "container.py"
