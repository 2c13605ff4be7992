import contextlib
import itertools
import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from ftsdk.backend import Plan
from ftsdk.job_folder import JobFolder, jobs_root
from ftsdk.spec import JobSpec
from ftsdk.workers import driver
from ftsdk_local import LocalBackend

FAKE_WORKER = (sys.executable, "-P", str(Path(__file__).with_name("fake_worker.py")))
_tokens = itertools.count()


class FakeLocal(LocalBackend):
    """A local backend whose workers run a small engine instead of the real one."""

    command = FAKE_WORKER


class Bench:
    """Submits jobs, and reads their status."""

    def __init__(self):
        self.backend = FakeLocal()

    def plan(self, engine, **options):
        compute = {"timeout": options.pop("timeout")} if "timeout" in options else {}
        spec = JobSpec(model="m", dataset="d.jsonl", compute=compute, backend_options={"local": options})
        return Plan(backend="local", spec=spec, native={"engine": engine})

    def submit(self, engine="quick", token=None, **options):
        return driver.submit(self.plan(engine, **options), token or self.token(), FAKE_WORKER)

    def token(self):
        return f"{next(_tokens):026}"

    def folder(self, native_id):
        return JobFolder(jobs_root() / native_id)

    def status(self, native_id):
        return self.backend.status(native_id)

    def wait(self, native_id, *states, seconds=30):
        """The status, as soon as it is one of these states; by default, any final one."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            status = self.status(native_id)
            if status.state in states or (not states and status.state.done):
                return status
            time.sleep(0.02)
        raise AssertionError(f"{native_id} is {status!r}\n{self.folder(native_id).log.read_text()}")

    def pid(self, native_id):
        return driver.latest_attempt(self.folder(native_id)).pid


@pytest.fixture
def bench(ftsdk_home):
    """A backend in a state folder of its own; workers that a test leaves behind are ended."""
    yield Bench()
    for process in psutil.process_iter(["cmdline"]):
        if any(str(ftsdk_home) in word for word in process.info["cmdline"] or ()):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
