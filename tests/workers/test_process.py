import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from ftsdk.process_identity import is_alive
from ftsdk.workers.process import reap, signal_process, start_detached, stop_group

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
IGNORES_SIGTERM = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)",
]
STARTER = """
import sys
from pathlib import Path
from ftsdk.workers.process import start_detached
folder = Path(sys.argv[1])
code = "import time; print('up', flush=True); time.sleep(60)"
print(start_detached([sys.executable, "-c", code], cwd=folder, env={}, log=folder / "log").pid, flush=True)
"""


@pytest.fixture
def start(tmp_path):
    started = []

    def start(argv=SLEEP, **more):
        started.append(start_detached(argv, cwd=tmp_path, env={"A": "b"}, log=tmp_path / "log", **more))
        return started[-1]

    yield start
    for identity in started:
        stop_group(identity, 0)


def is_up(folder: Path, pid: int) -> bool:
    """Whether the process has come up, and lives half a second later."""
    end = time.monotonic() + 10
    while "up" not in (folder / "log").read_text():
        assert time.monotonic() < end
        time.sleep(0.02)
    time.sleep(0.3)
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def wait_up(folder):
    assert is_up(folder, os.getpid())


def test_it_leads_a_session_of_its_own(start):
    """Nothing that happens to our session or group reaches it."""
    identity = start()

    assert (identity.pid, identity.pid) == (os.getsid(identity.pid), os.getpgid(identity.pid))


def test_it_is_given_no_more_than_it_needs(start, tmp_path, monkeypatch):
    """It has the environment that was given, no standard input, and none of our descriptors (the fourth is its own)."""
    monkeypatch.setenv("B", "ours")
    descriptor = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(descriptor, True)
    code = "import os, sys; print(*map(os.environ.get, 'AB'), [sys.stdin.read()], len(os.listdir('/proc/self/fd')))"
    identity = start([sys.executable, "-c", code])
    while is_alive(identity):
        time.sleep(0.02)
    os.close(descriptor)

    assert "b None [''] 4\n" == (tmp_path / "log").read_text()


def test_it_outlives_its_starter(tmp_path):
    """The end of the process that started it changes nothing, and the starter ends without a complaint."""
    starter = subprocess.run(
        [sys.executable, "-W", "error", "-c", STARTER, str(tmp_path)], capture_output=True, text=True, check=True
    )
    pid = int(starter.stdout)

    alive = is_up(tmp_path, pid)

    os.killpg(pid, signal.SIGKILL)
    assert (True, "") == (alive, starter.stderr)


@pytest.mark.parametrize("blow", ["interrupt", "hangup", "terminal closed"])
def test_it_outlives_its_terminal(tmp_path, blow):
    """Ctrl-C, a hang-up and the end of the terminal reach the starter's group, and not what it started."""
    child, terminal = pty.fork()
    if child == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup, which ignores it
        os.execv(sys.executable, [sys.executable, "-c", STARTER + "\nimport time; time.sleep(60)", str(tmp_path)])
    pid = int(os.read(terminal, 100).split()[0])
    if blow == "interrupt":
        os.write(terminal, b"\x03")
    elif blow == "hangup":
        os.killpg(child, signal.SIGHUP)
    os.close(terminal)
    os.waitpid(child, 0)

    alive = is_up(tmp_path, pid)

    os.killpg(pid, signal.SIGKILL)
    assert alive


def test_a_child_that_has_ended_looks_dead(start):
    """A zombie is not taken for alive, and is collected."""
    identity = start([sys.executable, "-c", ""])
    while is_alive(identity):
        time.sleep(0.02)

    reap()

    assert not psutil.pid_exists(identity.pid)


def test_a_program_that_is_missing_is_an_error(start):
    """Nothing is started, and the error names what is missing."""
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        start(["/no-such-program"])


def test_the_log_is_the_users_alone(start, tmp_path):
    """No other user can read its output."""
    start()

    assert 0o600 == (tmp_path / "log").stat().st_mode & 0o777


def test_a_group_is_asked_first(start, tmp_path):
    """A process that ends on SIGTERM is gone before it would be killed."""
    identity = start()
    wait_up(tmp_path)

    begin = time.monotonic()
    stop_group(identity, 30)

    assert (False, True) == (is_alive(identity), time.monotonic() - begin < 10)


def test_a_group_that_ignores_sigterm_is_killed(start, tmp_path):
    """After the grace time it is killed."""
    identity = start(IGNORES_SIGTERM)
    wait_up(tmp_path)

    stop_group(identity, 0.2)

    assert not is_alive(identity)


def test_the_whole_group_is_ended(start, tmp_path):
    """A child that ignores SIGTERM is killed after its parent has ended."""
    code = f"import subprocess, time; print(subprocess.Popen({IGNORES_SIGTERM!r}).pid, flush=True); time.sleep(60)"
    identity = start([sys.executable, "-c", code])
    wait_up(tmp_path)
    child = int((tmp_path / "log").read_text().split()[0])

    stop_group(identity, 0.2)

    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(
    "end", [lambda process: stop_group(process, 0), lambda process: signal_process(process, signal.SIGKILL)]
)
@pytest.mark.parametrize("change", [{"started": 1.0}, {"boot_id": "another"}])
def test_a_number_used_again_is_spared(start, end, change):
    """A process that has the number of one that was to be ended, but is another, is left alone."""
    identity = start()

    end(identity._replace(**change))
    time.sleep(0.1)

    assert is_alive(identity)
