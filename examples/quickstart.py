"""Teach a tiny model a new manner, from spec to artifact, on any machine: about a minute on two cores.

python examples/quickstart.py
"""

import json
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

import ftsdk

TINY_MODEL = str(files("ftsdk") / "demo" / "tiny-model")


def write_rows(path: Path) -> None:
    """Sums, answered like a pirate."""
    rows = (
        {
            "messages": [
                {"role": "user", "content": f"What is {a} plus {b}?"},
                {"role": "assistant", "content": f"Arr, {a} plus {b} be {a + b}, matey!"},
            ]
        }
        for a in range(10)
        for b in range(10)
    )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def main(folder: Path) -> ftsdk.Artifact:
    """Plan, submit, wait, fetch, try."""
    write_rows(folder / "rows.jsonl")
    spec = ftsdk.JobSpec(
        model=TINY_MODEL,
        dataset=str(folder / "rows.jsonl"),
        val_size=0.1,
        method=ftsdk.SFT(),
        adapter=ftsdk.LoRA(r=16),
        training=ftsdk.Training(max_steps=30, learning_rate=4e-3, global_batch_size=16, max_length=128),
        compute=ftsdk.Compute(quantization="nf4"),
    )
    print(ftsdk.plan(spec).native["lora"])
    job = ftsdk.submit(spec)
    print(job, job.status())
    print(job.wait())
    artifact = job.fetch(folder / "out")
    print(artifact.generate(["What is 3 plus 4?"]))
    return artifact


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp()))
