"""Processes are known again."""

import os
import subprocess
import sys

import pytest

from ftsdk.process_identity import current_process, identity_of, is_alive


@pytest.fixture
def child():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def test_this_process_is_alive():
    """The calling process is alive."""
    assert (os.getpid(), True) == (current_process().pid, is_alive(current_process()))


def test_dead_process_is_dead(child):
    """A process that has ended and was waited for is dead."""
    identity = identity_of(child.pid)
    child.kill()
    child.wait()

    assert not is_alive(identity)


def test_zombie_is_dead(child):
    """A process that has ended counts as dead, even before its parent has waited for it."""
    identity = identity_of(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

    assert not is_alive(identity)


@pytest.mark.parametrize("change", [{"started": current_process().started - 60}, {"boot_id": "before the restart"}])
def test_number_used_anew_is_another_process(change):
    """The same number with another start, or from before a restart of the machine, is another process."""
    assert not is_alive(current_process()._replace(**change))
