"""Samples of the responses in training: ``samples.jsonl`` in the job's folder."""

import json
from collections.abc import Sequence
from pathlib import Path

from ftsdk.files import write_atomic
from ftsdk.workers.event_writer import EventWriter
from ftsdk_local.train.rl.rewards import Response

SAMPLES = 8
"""Responses that are kept of an evaluation."""


def append_samples(
    file: Path, reporter: EventWriter, step: int, responses: Sequence[Response], rewards: Sequence[float]
) -> None:
    """Add the first responses of an evaluation to the file, and write the very first as an event."""
    samples = list(zip(responses, rewards, strict=True))[:SAMPLES]
    lines = [
        {"step": step, "prompt": response.prompt.content, "completion": response.text, "reward": reward}
        for response, reward in samples
    ]
    reporter.sample(step, samples[0][0].text)
    with file.open("a", encoding="utf-8") as target:
        target.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def drop_samples_after(file: Path, step: int) -> None:
    """Remove the samples of steps after a checkpoint, because a resumed run writes them again."""
    if not file.is_file():
        return
    # A kill may have cut off the last line in the middle.
    complete = [line for line in file.read_text("utf-8").splitlines(keepends=True) if line.endswith("\n")]
    write_atomic(file, "".join(line for line in complete if json.loads(line)["step"] <= step))
