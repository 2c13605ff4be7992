"""A foreign engine in a worker: it is heard, it can be stopped, and it never outlives whoever looks after it."""

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


def run(code, tmp_path, stop=None, hear=None, look=lambda: None):
    """Run a program of a few lines; give its exit status and the lines that it printed."""
    heard = []
    command = [sys.executable, "-u", "-c", textwrap.dedent(code)]
    env = dict(os.environ)
    status = run_runner(command, cwd=tmp_path, env=env, stop=stop or Stop(), hear=hear or heard.append, look=look)
    return status, heard


def gone(pid, seconds=10):
    end = time.monotonic() + seconds
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def test_every_line_is_heard(tmp_path):
    """Also those of a progress bar, the last one without an end, and letters of several bytes."""
    status, heard = run("print('one\\rtwo\\n\\nthr\\u00e9e', end='')", tmp_path)

    assert (0, ["one", "two", "thrée"]) == (status, heard)


def test_its_exit_status_is_given(tmp_path):
    """As it was; of a killed one, the signal's number."""
    ends = ("raise SystemExit(3)", "import os; os.kill(os.getpid(), 9)")

    assert [3, 9] == [run(code, tmp_path)[0] for code in ends]


def test_it_can_obey(tmp_path):
    """Asked to stop, it hears of it, and may take its time to save."""
    stop = Stop()

    def hear(line):
        heard.append(line)
        stop.why = "cancel"

    heard = []
    code = """
        import signal, time
        def save(*_):
            time.sleep(0.3); print("saved"); raise SystemExit(5)
        signal.signal(signal.SIGTERM, save)
        print("ready")
        while True: time.sleep(0.1)
    """

    assert 5 == run(code, tmp_path, stop, hear)[0]
    assert ["ready", "saved"] == heard


def test_what_it_leaves_behind_is_killed(tmp_path):
    """A child that ignores the end of its parent, and every polite wish, is gone with it."""
    code = """
        import subprocess, sys
        child = subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); "
                                  "print('up', flush=True); time.sleep(600)"], stdout=subprocess.PIPE)
        child.stdout.readline()
        print(child.pid)
    """

    status, heard = run(code, tmp_path)

    assert (0, True) == (status, gone(int(heard[0])))


def test_what_goes_wrong_while_looking_ends_it(tmp_path):
    """An error of whoever hears or looks is raised, and the engine does not go on alone."""
    pids = []

    def hear(line):
        pids.append(int(line))
        raise ValueError("a wrong line")

    with pytest.raises(ValueError, match="a wrong line"):
        run("import os, time; print(os.getpid()); time.sleep(600)", tmp_path, hear=hear)

    assert gone(pids[0])


def test_it_dies_with_its_worker(tmp_path):
    """However the worker ends: killed in an instant, it takes the engine and the engine's children along."""
    engine = "import os, subprocess as s; p = s.Popen(['sleep', '600']); print(os.getpid(), p.pid); p.wait()"
    code = textwrap.dedent(f"""
        import os, sys
        from pathlib import Path
        from ftsdk.engines.runner_process import run_runner
        from ftsdk.workers.signal_handler import Stop
        command = [sys.executable, "-u", "-c", {engine!r}]
        hear = lambda line: print(line, flush=True)
        run_runner(command, cwd=Path("."), env=dict(os.environ), stop=Stop(), hear=hear)
    """)
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as worker:
        pids = [int(word) for word in worker.stdout.readline().split()]
        os.kill(worker.pid, signal.SIGKILL)

    assert [True, True] == [gone(pid) for pid in pids]


def test_nothing_of_ours_leads_it_back(monkeypatch):
    """Its environment has no path to our packages, and finds its own programs first."""
    from ftsdk.workers.environment import runner_environment

    beside_us = str(Path(sys.executable).parent)
    monkeypatch.setenv("PYTHONPATH", "/ours")
    monkeypatch.setenv("VIRTUAL_ENV", "/ours")
    monkeypatch.setenv("PATH", f"{beside_us}:/usr/bin")
    monkeypatch.setenv("WANDB_API_KEY", "canary")

    found = runner_environment(Path("/house/bin/python"), (), {"MODE": "1"})

    assert {"PATH": "/house/bin:/usr/bin", "MODE": "1"} == {name: found[name] for name in ("PATH", "MODE")}
    assert set() == {"PYTHONPATH", "VIRTUAL_ENV", "FTSDK_HOME", "WANDB_API_KEY"} & found.keys()
