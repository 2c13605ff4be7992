"""Measure the peak of the local engine's steps on the CPU, for the tables of docs/forecast.md.

    python benchmarks/memory.py > measured.csv      # the lines of benchmarks/points.csv whose source is ftsdk

Each point runs in a process of its own: a random Llama of benchmarks/models.json, two optimizer steps of two
micro-batches of random tokens, every token with a loss. Counted is what the model holds, and what PyTorch's own
allocator gives out above it (its profiler notes each allocation and release): neither the libraries nor other work on
the machine change the number.
"""

import csv
import os
import subprocess
import sys
from pathlib import Path

WORKER = Path(__file__).with_name("memory_step.py")
SOURCE = "ftsdk, benchmarks/memory.py"
POINTS = [
    (model, quantization, computed, checkpointing, 1024, rank)
    for model, quantization, rank in (
        ("random Llama A", "nf4", 16),
        ("random Llama B", "nf4", 16),
        ("random Llama B", "int8", 16),
        ("random Llama B", "", 16),
        ("random Llama B", "", 0),
        ("random Llama D", "nf4", 16),
    )
    for computed in ("float32", "mixed")
    for checkpointing in ("yes", "no")
] + [
    ("random Llama A", "nf4", "float32", "yes", 2048, 8),
    ("random Llama A", "nf4", "mixed", "no", 256, 64),
    ("random Llama B", "nf4", "bfloat16", "yes", 1024, 16),
    ("random Llama B", "", "bfloat16", "yes", 1024, 16),
    ("random Llama C", "nf4", "mixed", "yes", 1024, 16),
    ("random Llama C", "", "mixed", "yes", 2048, 16),
]
"""Model, how its base is held, what it computes in, whether activations are recomputed, tokens, LoRA rank (0: all)."""


def line(point: tuple, peak: int) -> list:
    """A point and the bytes at its peak in the columns of benchmarks/points.csv."""
    model, quantization, computed, checkpointing, tokens, rank = point
    setup = [model, quantization, "yes", "sdpa", computed, "", checkpointing]
    return [SOURCE, "CPU", *setup, 1, tokens, rank, "", "chunked", round(peak / 2**20, 1), ""]


def main() -> None:
    """Print a line for each point."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    for point in POINTS:
        command = [sys.executable, str(WORKER), *map(str, point)]
        process = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        csv.writer(sys.stdout, lineterminator="\n").writerow(line(point, int(process.stdout.splitlines()[-1])))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
