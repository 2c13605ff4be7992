"""Kill the local worker again and again, resume, and compare with an uninterrupted run, bit for bit.

    python benchmarks/kills.py [--method sft|ppo] [--anywhere 20] [--saving 10] [--seed 0]

The job is a QLoRA fine-tune (nf4) of the tiny model that ships with ftsdk, with a checkpoint every second step, on one
thread: 30 optimizer steps of SFT over five epochs with dropout 0.1, or 30 updates of PPO. It is run once in peace. Then
runs of it are ended by SIGKILL, several times each: at random points of the worker's life, and while a checkpoint is
half written (its folder is there, its seal is not). Every killed run is resumed to its end; its losses at every step
and its adapter must be those of the uninterrupted run.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import ftsdk
from ftsdk.artifact.model_files import ADAPTER_WEIGHTS
from ftsdk.files import sha256
from ftsdk.job_types import JobState
from ftsdk.process_identity import is_alive
from ftsdk.workers.attempt import latest_attempt
from ftsdk.workers.driver import job_folder
from ftsdk.workers.process import signal_process
from ftsdk_local.train.common.checkpoint import SEAL

STEPS = 30
KILLS_IN_A_RUN = 5
LONGEST_WAIT = 600.0  # seconds
REPRODUCIBLE = ("loss", "grad_norm", "learning_rate", "reward", "kl", "value_loss")


class Result(NamedTuple):
    """What a run made."""

    metrics: list[dict[str, float]]
    """Of every step, without those that are measured with a clock."""
    adapter: str
    """The hash of its weights."""


class Kill(NamedTuple):
    """One kill that struck."""

    kind: str
    run: int
    place: str
    """Where the worker was."""


def sft_spec(folder: Path) -> ftsdk.JobSpec:
    """Supervised fine-tuning on conversations that are made here."""
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"What is {a} plus {b}?"},
                {"role": "assistant", "content": f"Arr, {a} plus {b} be {a + b}, matey!" + " Arr!" * (a * b % 20)},
            ]
        }
        for a in range(22)
        for b in range(4)
    ]
    training = ftsdk.Training(max_steps=STEPS, global_batch_size=16, learning_rate=1e-3, save_steps=2)
    return _spec(folder, rows, adapter=ftsdk.LoRA(r=16, dropout=0.1), training=training)


def ppo_spec(folder: Path) -> ftsdk.JobSpec:
    """PPO towards more vowels."""
    rows = [{"prompt": f"Tell me about the number {a}."} for a in range(64)]
    training = ftsdk.Training(max_steps=STEPS, global_batch_size=4, max_length=64, learning_rate=1e-3, save_steps=2)
    method = ftsdk.PPO(reward="kills:vowels", max_new_tokens=12, num_mini_batches=2, num_ppo_epochs=2, target_kl=1.0)
    return _spec(folder, rows, method=method, training=training)


def vowels(prompts: list[str], completions: list[str], **columns: object) -> list[float]:  # noqa: ARG001
    """The share of vowels among a response's letters: PPO's reward."""
    return [sum(letter in "aeiou" for letter in completion) / max(len(completion), 1) for completion in completions]


def _spec(folder: Path, rows: list[dict[str, object]], **sections: Any) -> ftsdk.JobSpec:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return ftsdk.JobSpec(
        model=str(files("ftsdk") / "demo" / "tiny-model"),
        dataset=str(path),
        compute=ftsdk.Compute(quantization="nf4"),
        backend_options={"local": {"device": "cpu"}},
        **sections,
    )


SPECS = {"sft": sft_spec, "ppo": ppo_spec}


class Worker:
    """The worker of a job, as its folder shows it."""

    def __init__(self, job: ftsdk.Job) -> None:
        self.job = job
        self.folder = job_folder(*job.ref.split(":"))

    def alive(self) -> bool:
        """Whether it has signed and lives; an earlier worker, which was killed, does not count."""
        attempt = latest_attempt(self.folder)
        return attempt is not None and is_alive(attempt.identity)

    def ended(self) -> bool:
        """Whether it has come to its own end."""
        return self.folder.exit.exists()

    def steps(self) -> int:
        """The last step with metrics, of any attempt."""
        return max((event.step or 0 for event in self.job.events() if event.kind == "metrics"), default=0)

    def half_written(self) -> set[str]:
        """Checkpoints without a seal."""
        folders = self.folder.checkpoints.glob("checkpoint-*")
        return {folder.name for folder in folders if not (folder / SEAL).exists()}

    def kill(self) -> bool:
        """As the system would, without warning; False where it had come to its own end before."""
        until(lambda: self.alive() or self.ended(), "no worker came")
        attempt = latest_attempt(self.folder)
        assert attempt is not None
        signal_process(attempt.identity, signal.SIGKILL)
        until(lambda: self.job.status().state.done, "the killed worker still counts as alive")
        return self.job.status().reason is ftsdk.Reason.WORKER_LOST


def until(fact: Callable[[], object], complaint: str, pause: float = 0.02) -> None:
    """Wait for a fact."""
    end = time.monotonic() + LONGEST_WAIT
    while not fact():
        if time.monotonic() > end:
            raise TimeoutError(complaint)
        time.sleep(pause)


def kill_anywhere(worker: Worker, rng: random.Random) -> str | None:
    """Kill at a random point: while it loads, in one of the next steps, or at the end; return where it was."""
    step = worker.steps()
    target = rng.randint(step - 2, min(step + 10, STEPS))
    if target < step:  # before training goes on
        until(worker.alive, "no worker came")
        time.sleep(rng.uniform(0, 8))
    else:
        until(lambda: worker.steps() > target or worker.steps() == STEPS or worker.ended(), "no step came")
        time.sleep(rng.uniform(0, 0.4))
    return f"step {worker.steps()}" if worker.kill() else None


def kill_while_saving(worker: Worker, rng: random.Random) -> str | None:
    """Kill up to 60 ms after a checkpoint's folder has appeared; None where the checkpoint was sealed by then."""
    old = worker.half_written()
    skip = rng.randint(0, 3)  # not always the first checkpoint of an attempt
    new: set[str] = set()

    def saving() -> bool:
        now = worker.half_written()
        old.intersection_update(now)  # a resumed run removes them, and writes them again
        new.update(now - old)
        return len(new) > skip or worker.ended()

    until(saving, "no checkpoint came", pause=0.001)
    time.sleep(rng.uniform(0, 0.06))
    struck = worker.kill()
    torn = worker.half_written() - old
    return f"{torn.pop()} torn" if struck and torn else None


KINDS = {"anywhere": kill_anywhere, "saving": kill_while_saving}


def disturbed_run(spec: ftsdk.JobSpec, run: int, kinds: list[str], rng: random.Random) -> tuple[Result, list[Kill]]:
    """One run with a kill of each of these kinds in turn, resumed to its end."""
    job = ftsdk.submit(spec)
    kills = []
    for kind in kinds:
        place = KINDS[kind](Worker(job), rng)
        if place is not None:
            kills.append(Kill(kind, run, place))
        if job.status().state is JobState.SUCCEEDED:
            break
        job.resume()
    return result_of(job), kills


def result_of(job: ftsdk.Job) -> Result:
    """Wait for the end and fetch what was made."""
    if job.status().state is not JobState.SUCCEEDED:
        job.wait(timeout=LONGEST_WAIT)
    with tempfile.TemporaryDirectory() as out:
        artifact = job.fetch(Path(out) / "artifact")
        lines = (artifact.path / "metrics.jsonl").read_text("utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        metrics = [{name: row[name] for name in ("step", *REPRODUCIBLE) if name in row} for row in rows]
        return Result(metrics, sha256(artifact.path / ADAPTER_WEIGHTS))


def difference(result: Result, expected: Result) -> str:
    """What is not the same; empty where all is."""
    if len(result.metrics) != len(expected.metrics):
        return f"{len(result.metrics)} rows of metrics, not {len(expected.metrics)}"
    for actual_row, expected_row in zip(result.metrics, expected.metrics, strict=True):
        if actual_row != expected_row:
            return f"{actual_row}, not {expected_row}"
    return "" if result.adapter == expected.adapter else "another adapter"


def main() -> int:
    """Run, kill, resume, compare; the exit status is 1 where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", choices=SPECS, default="sft")
    parser.add_argument("--anywhere", type=int, default=20, help="kills at random points")
    parser.add_argument("--saving", type=int, default=10, help="kills while a checkpoint is half written")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryDirectory() as home:
        os.environ["FTSDK_HOME"] = home
        return report(
            SPECS[options.method](Path(home)), {"anywhere": options.anywhere, "saving": options.saving}, options.seed
        )


def report(spec: ftsdk.JobSpec, counts: dict[str, int], seed: int) -> int:
    """Disturb runs until every kind of kill was sent as often as given; print each run, and whether all are equal."""
    rng = random.Random(seed)
    began = time.monotonic()
    expected = result_of(ftsdk.submit(spec))
    print(f"uninterrupted: {time.monotonic() - began:.0f} s, {expected.metrics[-1]}, adapter {expected.adapter[:16]}")
    missing = [kind for kind, count in counts.items() for _ in range(count)]
    rng.shuffle(missing)
    struck, differences, runs = 0, 0, 0
    while missing:
        runs += 1
        result, kills = disturbed_run(spec, runs, missing[:KILLS_IN_A_RUN], rng)
        for kill in kills:
            missing.remove(kill.kind)
        struck += len(kills)
        message = difference(result, expected)
        differences += bool(message)
        places = "; ".join(f"{kill.kind}: {kill.place}" for kill in kills)
        print(f"run {runs}: {message or 'equal'} after {len(kills)} kills ({places})", flush=True)
    print(f"{struck} kills in {runs} runs, {time.monotonic() - began:.0f} s: {differences} runs differ")
    return int(differences > 0)


if __name__ == "__main__":
    sys.exit(main())
