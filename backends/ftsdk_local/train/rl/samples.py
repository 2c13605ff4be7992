"""Some of the responses that a model gave while it learned from them: ``samples.jsonl`` in the job's folder."""

import json
from collections.abc import Sequence
from pathlib import Path

from ftsdk.files import write_atomic
from ftsdk.workers.event_writer import EventWriter
from ftsdk_local.train.rl.rewards import Response

KEPT = 8
"""Responses kept of an evaluation."""


def keep_samples(
    file: Path, reporter: EventWriter, step: int, responses: Sequence[Response], rewards: Sequence[float]
) -> None:
    """Add the first responses of an evaluation to the file, and tell the very first."""
    kept = list(zip(responses, rewards, strict=True))[:KEPT]
    lines = [
        {"step": step, "prompt": one.prompt.said, "completion": one.text, "reward": reward} for one, reward in kept
    ]
    reporter.sample(step, kept[0][0].text)
    with file.open("a", encoding="utf-8") as target:
        target.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def drop_samples_after(file: Path, step: int) -> None:
    """Take out what came after a checkpoint: it will come again. A kill can have torn the last line."""
    if not file.is_file():
        return
    whole = [line for line in file.read_text("utf-8").splitlines(keepends=True) if line.endswith("\n")]
    write_atomic(file, "".join(line for line in whole if json.loads(line)["step"] <= step))
