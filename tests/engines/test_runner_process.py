"""A foreign engine in a worker: its output is read, it can be stopped, and it never outlives its worker."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from ftsdk.engines.runner_process import run_runner
from ftsdk.workers.signal_handler import Stop


def run(code, tmp_path, stop=None, on_line=None, on_poll=lambda: None):
    """Run a program of a few lines; return its exit status and the lines that it printed."""
    lines = []
    command = [sys.executable, "-u", "-c", textwrap.dedent(code)]
    env = dict(os.environ)
    status = run_runner(
        command, cwd=tmp_path, env=env, stop=stop or Stop(), on_line=on_line or lines.append, on_poll=on_poll
    )
    return status, lines


def has_ended(pid, seconds=10):
    end = time.monotonic() + seconds
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def test_every_line_is_read(tmp_path):
    """Also those of a progress bar, a last line without an end, and characters of several bytes."""
    status, lines = run("print('one\\rtwo\\n\\nthr\\u00e9e', end='')", tmp_path)

    assert (0, ["one", "two", "thrée"]) == (status, lines)


def test_its_exit_status_is_given(tmp_path):
    """As it was; of a killed one, the signal's number."""
    ends = ("raise SystemExit(3)", "import os; os.kill(os.getpid(), 9)")

    assert [3, 9] == [run(code, tmp_path)[0] for code in ends]


def test_it_can_save_when_stopped(tmp_path):
    """When a stop is requested, it gets the signal, and has time to save."""
    stop = Stop()

    def on_line(line):
        lines.append(line)
        stop.reason = "cancel"

    lines = []
    code = """
        import signal, time
        def save(*_):
            time.sleep(0.3); print("saved"); raise SystemExit(5)
        signal.signal(signal.SIGTERM, save)
        print("ready")
        while True: time.sleep(0.1)
    """

    assert 5 == run(code, tmp_path, stop, on_line)[0]
    assert ["ready", "saved"] == lines


def test_what_it_leaves_behind_is_killed(tmp_path):
    """A child that ignores the end of its parent, and SIGTERM, is killed with it."""
    code = """
        import subprocess, sys
        child = subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); "
                                  "print('up', flush=True); time.sleep(600)"], stdout=subprocess.PIPE)
        child.stdout.readline()
        print(child.pid)
    """

    status, lines = run(code, tmp_path)

    assert (0, True) == (status, has_ended(int(lines[0])))


def test_an_error_of_a_handler_ends_it(tmp_path):
    """An error of a handler is raised, and the engine is ended."""
    pids = []

    def on_line(line):
        pids.append(int(line))
        raise ValueError("a wrong line")

    with pytest.raises(ValueError, match="a wrong line"):
        run("import os, time; print(os.getpid()); time.sleep(600)", tmp_path, on_line=on_line)

    assert has_ended(pids[0])


def test_it_dies_with_its_worker(tmp_path):
    """However the worker ends: when it is killed, so are the engine and the engine's children."""
    engine = "import os, subprocess as s; p = s.Popen(['sleep', '600']); print(os.getpid(), p.pid); p.wait()"
    code = textwrap.dedent(f"""
        import os, sys
        from pathlib import Path
        from ftsdk.engines.runner_process import run_runner
        from ftsdk.workers.signal_handler import Stop
        command = [sys.executable, "-u", "-c", {engine!r}]
        on_line = lambda line: print(line, flush=True)
        run_runner(command, cwd=Path("."), env=dict(os.environ), stop=Stop(), on_line=on_line)
    """)
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as worker:
        pids = [int(word) for word in worker.stdout.readline().split()]
        os.kill(worker.pid, signal.SIGKILL)

    assert [True, True] == [has_ended(pid) for pid in pids]


def test_our_packages_are_not_on_its_path(monkeypatch):
    """Its environment has no path to our packages, and finds its own programs first."""
    from ftsdk.workers.environment import runner_environment

    our_programs = str(Path(sys.executable).parent)
    monkeypatch.setenv("PYTHONPATH", "/own")
    monkeypatch.setenv("VIRTUAL_ENV", "/own")
    monkeypatch.setenv("PATH", f"{our_programs}:/usr/bin")
    monkeypatch.setenv("WANDB_API_KEY", "canary")

    variables = runner_environment(Path("/engine/bin/python"), (), {"MODE": "1"})

    assert {"PATH": "/engine/bin:/usr/bin", "MODE": "1"} == {name: variables[name] for name in ("PATH", "MODE")}
    assert set() == {"PYTHONPATH", "VIRTUAL_ENV", "FTSDK_HOME", "WANDB_API_KEY"} & variables.keys()
