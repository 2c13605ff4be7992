"""QLoRA SFT on the CPU: plain TRL, TRL's best settings and ftsdk, side by side on the same model, rows and tokens.

    python benchmarks/sft.py [--rounds 3] [--vocabulary 32000]

Each contender runs in a process of its own, in turn, one thread each. Printed are medians over the rounds, as ratios to
plain TRL: tokens per CPU-second in training, and the peak of memory above what was held before training. The work is a
random Llama (hidden 256, 4 layers), an nf4 base, LoRA r 16 on every linear layer, 64 rows with the length spread of
Alpaca, batch 8, one epoch.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

WORKER = Path(__file__).with_name("sft_contenders.py")
NAMES = ("TRL", "TRL, no checkpointing", "TRL, best-fit packing", "ftsdk, checkpointing", "ftsdk")


def in_own_process(name: str, folder: str, vocabulary: int) -> dict:
    """One run of one contender."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, str(WORKER), name, folder, str(vocabulary)]
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    return json.loads(output.splitlines()[-1])


def main() -> None:
    """Run the contenders in turn and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--vocabulary", type=int, default=32000)
    parser.add_argument("--only", nargs="*", default=list(NAMES))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results: dict[str, list[dict]] = {name: [] for name in options.only}
        for _ in range(options.rounds):
            for name in options.only:
                results[name].append(in_own_process(name, folder, options.vocabulary))
    report(results, options.vocabulary)


def report(results: dict[str, list[dict]], vocabulary: int) -> None:
    """Print the medians, as ratios to the first."""
    medians = {
        name: {key: statistics.median(run[key] for run in runs) for key in runs[0]} for name, runs in results.items()
    }
    first = next(iter(medians.values()))
    print(f"vocabulary {vocabulary}, medians of {len(next(iter(results.values())))} rounds")
    print(f"{'':24} {'tokens/cpu-s':>13} {'ratio':>7} {'peak MB':>9} {'ratio':>7} {'loss':>9}")
    for name, run in medians.items():
        print(
            f"{name:24} {run['tokens_per_cpu_second']:13.0f} "
            f"{run['tokens_per_cpu_second'] / first['tokens_per_cpu_second']:7.2f} {run['peak_mb']:9.0f} "
            f"{run['peak_mb'] / first['peak_mb']:7.2f} {run['loss']:9.4f}"
        )


if __name__ == "__main__":
    main()
