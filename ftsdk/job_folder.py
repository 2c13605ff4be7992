"""A job on this machine is a folder: each of its paths is named here, and nowhere else."""

import json
from dataclasses import dataclass
from pathlib import Path

from ftsdk.home import home


def jobs_root() -> Path:
    """The folder that holds one folder for each job, whatever its backend, made where it is missing.

    Raises:
        ConfigError: The state folder cannot be used.
    """
    root = home() / "jobs"
    root.mkdir(mode=0o700, exist_ok=True)
    return root


@dataclass(frozen=True)
class JobFolder:
    """The paths of one job; none of them need exist."""

    path: Path

    @property
    def ref(self) -> str:
        """What its user calls the job: ``local:sft-7f3k2m``."""
        return f"{json.loads(self.job.read_bytes())['backend']}:{self.path.name}"

    @property
    def spec(self) -> Path:
        """What the user wrote."""
        return self.path / "spec.json"

    @property
    def plan(self) -> Path:
        """What is to be done, in full."""
        return self.path / "plan.json"

    @property
    def job(self) -> Path:
        """Which job this is: backend, id, token, time of creation."""
        return self.path / "job.json"

    @property
    def worker(self) -> Path:
        """Which process works on it, or did last, and the number of the attempt."""
        return self.path / "worker.json"

    @property
    def heartbeat(self) -> Path:
        """The worker's last sign of life, with step, pace and metrics."""
        return self.path / "heartbeat.json"

    @property
    def events(self) -> Path:
        """What has happened, one JSON object a line."""
        return self.path / "events.jsonl"

    @property
    def log(self) -> Path:
        """What the worker and its libraries printed."""
        return self.path / "worker.log"

    @property
    def exit(self) -> Path:
        """How the job ended; written last."""
        return self.path / "exit.json"

    def past_exit(self, attempt: int) -> Path:
        """How an earlier attempt ended."""
        return self.path / f"exit.{attempt}.json"

    @property
    def cancel_request(self) -> Path:
        """There while somebody wants the job to stop."""
        return self.path / "cancel"

    @property
    def run_lock(self) -> Path:
        """Held by the one worker, from its first moment to its last; never deleted."""
        return self.path / "run.lock"

    @property
    def launch_lock(self) -> Path:
        """Held by whoever starts a worker, and by the worker until ``worker`` names it; never deleted."""
        return self.path / "launch.lock"

    @property
    def reserve(self) -> Path:
        """Room on the disk, given up so that a full disk can still be told about."""
        return self.path / "reserve"

    @property
    def checkpoints(self) -> Path:
        """Sealed states of the training, to resume from."""
        return self.path / "checkpoints"

    @property
    def samples(self) -> Path:
        """Responses that the model gave while it learned from them, one JSON object a line."""
        return self.path / "samples.jsonl"

    @property
    def artifact(self) -> Path:
        """What the job made."""
        return self.path / "artifact"

    @property
    def engine(self) -> Path:
        """Where a foreign engine works: its configuration, its data, what it writes."""
        return self.path / "engine"

    @property
    def cache(self) -> Path:
        """What can be made again."""
        return self.path / "cache"
