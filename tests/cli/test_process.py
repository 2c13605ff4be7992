"""What only a real process can show: what is loaded, closed pipes, full disks, narrow encodings."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

HEAVY = {"torch", "transformers", "peft", "datasets", "sqlalchemy", "pydantic", "yaml", "numpy"}


def run(*arguments: str, **more) -> subprocess.CompletedProcess:
    return subprocess.run(["ftsdk", *arguments], capture_output=True, text=True, check=False, **more)


def loaded_by(*arguments: str) -> set[str]:
    """Heavy packages that a fresh interpreter holds after a run of the command line."""
    code = f"import sys\nfrom ftsdk.cli import app\ntry: app({list(arguments)})\nexcept SystemExit: pass\n"
    code += "print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stderr.split()}


def test_help_loads_nothing_heavy():
    """``ftsdk --help`` loads neither an engine nor the database nor the spec."""
    assert set() == loaded_by("--help") & HEAVY


def test_a_status_loads_no_engine(submitted):
    """Looking at a job loads the database, and no engine."""
    assert {"sqlalchemy", "pydantic"} == loaded_by("status", submitted()) & (HEAVY - {"yaml"})


def test_a_closed_pipe_is_no_traceback(submitted):
    """``ftsdk events REF | head -1`` ends quietly."""
    ref = submitted(steps=5000)
    command = f"'{sys.executable}' -c 'from ftsdk.cli import main; main()' events {ref} | head -1"

    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)

    assert ("", 1) == (done.stderr, len(done.stdout.splitlines()))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_an_error():
    """Output that cannot be written is told, and is no success."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(["ftsdk", "schema"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)

    assert done.returncode != 0
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


def test_any_encoding_can_be_printed_in(write_spec):
    """A terminal that knows ASCII alone shows other letters as escapes."""
    spec = str(write_spec(fields={"metadata": {"motto": "größer als π"}}))

    done = run("plan", spec, env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})

    assert 0 == done.returncode, done.stderr
    assert "gr\\xf6\\xdfer als \\u03c0" in done.stdout


def test_a_real_ctrl_c_says_how_to_come_back(submitted):
    """SIGINT while following is exit code 130; the job goes on."""
    ref = submitted(run_seconds=600)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may have been told to ignore it

    with subprocess.Popen(["ftsdk", "wait", ref], stderr=subprocess.PIPE, text=True) as process:
        seen = process.stderr.readline()  # it is following
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        told = seen + process.stderr.read()

    assert 130 == process.returncode
    assert f"ftsdk wait {ref}" in told
    assert "Traceback" not in told
