"""PPO on the CPU: TRL 1.12, the last release that has it, and ftsdk, side by side on the same model and prompts.

    python benchmarks/ppo.py [--rounds 3] [--updates 60] [--shape toy|wide|large]

Each contender runs in a process of its own, in turn, one thread each; TRL 1.12 is put into a folder of its own,
build/trl-1.12, with pip. A round is a seed. Printed are medians over the rounds: the mean reward of the last ten
updates, CPU seconds of an update, its optimizer steps, and the peak of memory above what was held before the model was
loaded, also as multiples of one base's weights. The work is in ``ppo_task.py``: a random Llama in float32, LoRA r 16 on
every linear layer of policy and value, four passes over each batch, a reward for the words of a tenth of the
vocabulary. TRL runs once with the whole batch at a time, and once with parts of it, whose gradients it accumulates.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
TRL = HERE.parent / "build" / "trl-1.12"
NAMES = ("TRL 1.12, accumulating", "TRL 1.12", "ftsdk")


def install_trl() -> None:
    """Unpack TRL 1.12 beside the libraries that are here, once."""
    if not TRL.is_dir():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        with tempfile.TemporaryDirectory(dir=HERE.parent) as folder:
            subprocess.run([*pip, "--target", f"{folder}/trl", "trl==1.12.0"], check=True)
            TRL.parent.mkdir(exist_ok=True)
            Path(folder, "trl").rename(TRL)


def in_own_process(script: str, *arguments: object, libraries: Path | None = None) -> str:
    """Run a script on one thread, with some libraries before those that are installed; what it printed."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    if libraries:
        environment["PYTHONPATH"] = os.pathsep.join([str(libraries), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, str(HERE / script), *map(str, arguments)]
    return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def measure(name: str, *task: object) -> dict[str, float]:
    """One run of one contender."""
    output = in_own_process("ppo_contenders.py", name, *task, libraries=TRL if name.startswith("TRL") else None)
    return json.loads(output.splitlines()[-1])


def main() -> None:
    """Run the contenders in turn and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--updates", type=int, default=60)
    parser.add_argument("--shape", choices=("toy", "wide", "large"), default="toy")
    parser.add_argument("--only", nargs="*", default=list(NAMES))
    options = parser.parse_args()
    install_trl()
    results: dict[str, list[dict[str, float]]] = {name: [] for name in options.only}
    with tempfile.TemporaryDirectory() as folder:
        in_own_process("ppo_task.py", folder, options.shape)
        for seed in range(1, options.rounds + 1):
            for name in options.only:
                results[name].append(measure(name, folder, options.shape, options.updates, seed))
    report(results)


def report(results: dict[str, list[dict[str, float]]]) -> None:
    """Print the medians; cost as ratios to the last."""
    medians = {
        name: {key: statistics.median(run[key] for run in runs) for key in runs[0]} for name, runs in results.items()
    }
    last = list(medians.values())[-1]
    print(f"medians of {len(next(iter(results.values())))} rounds; ratios are the last one's to each")
    print(f"{'':24} {'reward':>7} {'cpu-s':>7} {'ratio':>6} {'steps':>6} {'peak MB':>8} {'ratio':>6} {'bases':>6}")
    for name, run in medians.items():
        print(
            f"{name:24} {run['reward']:7.3f} {run['cpu_seconds']:7.2f} {last['cpu_seconds'] / run['cpu_seconds']:6.2f} "
            f"{run['optimizer_steps']:6.2f} {run['peak_mb']:8.0f} {last['peak_mb'] / run['peak_mb']:6.2f} "
            f"{run['bases']:6.2f}"
        )


if __name__ == "__main__":
    main()
