"""A job on this machine is a folder: only this module names its paths."""

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
        """The job's reference: ``local:sft-7f3k2m``."""
        return f"{json.loads(self.job.read_bytes())['backend']}:{self.path.name}"

    @property
    def spec(self) -> Path:
        """What the user wrote."""
        return self.path / "spec.json"

    @property
    def plan(self) -> Path:
        """The plan, in full."""
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
        """Written while the worker runs: time, step, throughput and metrics."""
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
        """Exists once the job is to be cancelled."""
        return self.path / "cancel"

    @property
    def run_lock(self) -> Path:
        """Locked by the one worker while it runs; never deleted."""
        return self.path / "run.lock"

    @property
    def launch_lock(self) -> Path:
        """Locked while a worker is started, and by the worker until ``worker`` names it; never deleted."""
        return self.path / "launch.lock"

    @property
    def reserve(self) -> Path:
        """Space on the disk, freed so that a full disk can still be reported."""
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
        """The artifact."""
        return self.path / "artifact"

    @property
    def engine(self) -> Path:
        """The working folder of a foreign engine: its configuration, data and output."""
        return self.path / "engine"

    @property
    def cache(self) -> Path:
        """Files that can be made again."""
        return self.path / "cache"
