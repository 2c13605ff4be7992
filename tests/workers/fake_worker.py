"""A worker with a small engine in the place of the real one; ``plan.native["engine"]`` names what it does."""

import atexit
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

from ftsdk.home import home
from ftsdk.job_types import Reason
from ftsdk.workers import worker
from ftsdk.workers.outcome import Stopped, WorkerError

STEPS = 3


def quick(folder, reporter, stop):
    for step in range(1, STEPS + 1):
        reporter.progress(step, STEPS, 0.0)
        reporter.metrics(step, {"loss": 1.0 / step})


def gated(folder, reporter, stop):
    """Note that it is this job's turn, and hold the device until the test releases it."""
    with (home() / "order").open("a") as order:
        order.write(folder.path.name + "\n")
    while not (home() / "go").exists() and not stop.requested:
        time.sleep(0.01)


def stops_on_request(folder, reporter, stop):
    reporter.progress(1, STEPS, 9.0)
    while not stop.requested:
        time.sleep(0.01)
    folder.checkpoints.mkdir(exist_ok=True)
    raise Stopped(stop.reason)


def ignores_stop_request(folder, reporter, stop):
    child = subprocess.Popen(["sleep", "600"])
    (folder.path / "child").write_text(str(child.pid))
    reporter.progress(1, STEPS, 9.0)
    time.sleep(600)


def forks(folder, reporter, stop):
    """End a forked child by SIGTERM, and check whether the signal is taken for a request to this process."""
    ready, notify = os.pipe()
    if (child := os.fork()) == 0:
        os.write(notify, b"!")
        time.sleep(600)
    os.read(ready, 1)
    os.kill(child, signal.SIGTERM)
    os.waitpid(child, 0)
    time.sleep(0.2)
    if stop.requested:
        raise Stopped(stop.reason)


def leaky(folder, reporter, stop):
    key = os.environ["HF_TOKEN"]
    sys.stdout.write(f"key {key}")
    warnings.warn(f"key {key}", stacklevel=1)
    reporter.log(f"key {key}")
    reporter.warning(f"key {key}")
    reporter.stage(f"key {key}")
    (folder.path / "environment").write_text("\n".join(sorted(os.environ)))
    raise WorkerError(Reason.AUTH, f"the key {key} is wrong", f"not {key}")


def full_disk(folder, reporter, stop):
    with Path("/dev/full").open("w") as file:
        file.write("a checkpoint")


def crash(folder, reporter, stop):
    os.abort()


def failure(folder, reporter, stop):
    raise WorkerError(Reason.DIVERGED, "loss is nan at step 7", "halve training.learning_rate")


def fails_once(folder, reporter, stop):
    if not folder.past_exit(1).exists():
        failure(folder, reporter, stop)
    stops_on_request(folder, reporter, stop)


def slow_to_end(folder, reporter, stop):
    """Take a second to end the process, after the report that it has ended."""
    atexit.register(time.sleep, 1)
    fails_once(folder, reporter, stop)


ENGINES = (
    quick,
    gated,
    stops_on_request,
    ignores_stop_request,
    forks,
    leaky,
    full_disk,
    crash,
    failure,
    fails_once,
    slow_to_end,
)


def run(folder, plan, reporter, stop):
    engine = next(engine for engine in ENGINES if engine.__name__ == plan.native["engine"])
    engine(folder, reporter, stop)


if __name__ == "__main__":
    sys.exit(worker.main(sys.argv[1:], run))
