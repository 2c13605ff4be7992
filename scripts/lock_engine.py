"""Resolve an engine's lock file anew: ``python scripts/lock_engine.py autotrain``. Needs uv.

The versions are for one Python and, but for PyTorch's own build, for every machine.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

BACKENDS = Path(__file__).parents[1] / "backends"


class Engine(NamedTuple):
    """What a lock file is made of."""

    wanted: tuple[str, ...]
    left_out: tuple[str, ...]
    """Packages that it asks for, and of which nothing is used."""
    python: str
    about: str
    """The first lines of the file."""


ENGINES = {
    "autotrain": Engine(
        wanted=("autotrain-advanced==0.8.36", "torch==2.13.0"),
        left_out=("timm", "torchvision", "xgboost"),
        python="3.11",
        about="AutoTrain Advanced and what it needs to train language models, for Python 3.11. Left out, for nothing\n"
        "# of it is used: torchvision and timm (images), xgboost (tables).",
    ),
}


def lock(name: str) -> str:
    """The lock file's text."""
    engine = ENGINES[name]
    with tempfile.TemporaryDirectory() as folder:
        wanted, never = Path(folder, "in.txt"), Path(folder, "never.txt")
        wanted.write_text("\n".join(engine.wanted), "utf-8")
        never.write_text("\n".join(f"{package}; python_version < '3'" for package in engine.left_out), "utf-8")
        command = ["uv", "pip", "compile", "--quiet", "--python-version", engine.python, "--override", str(never)]
        done = subprocess.run(
            [*command, "--no-header", "--no-annotate", str(wanted)], capture_output=True, text=True, check=True
        )
    pins = [line.partition("+")[0] for line in done.stdout.splitlines() if not line.startswith("#")]
    return "\n".join([f"# {engine.about} Made by scripts/lock_engine.py.", *pins, ""])


if __name__ == "__main__":
    backend = sys.argv[1]
    target = BACKENDS / f"ftsdk_{backend}" / "lock.txt"
    target.write_text(lock(backend), "utf-8")
    print(f"{target}: {len(target.read_text('utf-8').splitlines())} lines")
