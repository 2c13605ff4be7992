"""What only a real process can show: imported packages, closed pipes, full disks, narrow encodings."""

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
    """Packages that a fresh interpreter has imported after a run of the command line."""
    code = f"import sys\nfrom ftsdk.cli import app\ntry: app({list(arguments)})\nexcept SystemExit: pass\n"
    code += "print(*sys.modules, file=sys.stderr)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in process.stderr.split()}


def test_help_loads_nothing_heavy():
    """``ftsdk --help`` loads neither an engine nor the database nor the spec."""
    assert set() == loaded_by("--help") & HEAVY


def test_a_status_loads_no_engine(submitted):
    """Showing a job's status loads the database, and no engine."""
    assert {"sqlalchemy", "pydantic"} == loaded_by("status", submitted()) & (HEAVY - {"yaml"})


def test_a_closed_pipe_is_no_traceback(submitted):
    """``ftsdk events REF | head -1`` ends quietly."""
    ref = submitted(steps=5000)
    command = f"'{sys.executable}' -c 'from ftsdk.cli import main; main()' events {ref} | head -1"

    process = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)

    assert ("", 1) == (process.stderr, len(process.stdout.splitlines()))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_an_error():
    """Output that cannot be written is reported, and is no success."""
    with Path("/dev/full").open("w") as full:
        process = subprocess.run(["ftsdk", "schema"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)

    assert process.returncode != 0
    assert "No space left" in process.stderr
    assert "Traceback" not in process.stderr


def test_any_encoding_can_be_printed_in(write_spec):
    """A terminal that can print only ASCII shows other letters as escapes."""
    spec = str(write_spec(fields={"metadata": {"motto": "größer als π"}}))

    process = run("plan", spec, env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})

    assert 0 == process.returncode, process.stderr
    assert "gr\\xf6\\xdfer als \\u03c0" in process.stdout


def test_a_real_ctrl_c_names_the_command_that_follows_again(submitted):
    """SIGINT while following is exit code 130; the job goes on."""
    ref = submitted(run_seconds=600)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may start tests with SIGINT ignored

    with subprocess.Popen(["ftsdk", "wait", ref], stderr=subprocess.PIPE, text=True) as process:
        first_line = process.stderr.readline()  # it is following
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        messages = first_line + process.stderr.read()

    assert 130 == process.returncode
    assert f"ftsdk wait {ref}" in messages
    assert "Traceback" not in messages
