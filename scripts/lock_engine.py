"""Resolve a backend's lock files again: ``python scripts/lock_engine.py autotrain``. Needs uv.

The versions are for one Python; those of a container for Linux alone, those of an engine for every machine, but for
PyTorch's own build.
"""

import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
BACKENDS = ROOT / "backends"

COMPUTING = frozenset(
    {
        *("accelerate", "bitsandbytes", "datasets", "huggingface-hub", "peft", "safetensors", "tokenizers", "torch"),
        *("transformers", "trl"),
    }
)

TORCH_DEPENDENCIES = ("cuda-", "nvidia-cu", "nvidia-nc", "nvidia-nv", "triton==")
"""Prefixes of what PyTorch installs on a machine with a card, see ftsdk/engines/environment.py."""


class Lock(NamedTuple):
    """What a lock file is made of."""

    file: str
    requirements: tuple[str, ...]
    python: str
    about: str
    """The first lines of the file."""
    left_out: tuple[str, ...] = ()
    """Packages that it requires, and of which nothing is used."""
    options: tuple[str, ...] = ()
    """More for uv."""
    cpu_dependencies: tuple[str, ...] = ()
    """Of PyTorch's dependencies, what the engine requires on a machine without a card, too."""
    tested: bool = False
    """Whether what computes has the versions that our tests run with."""


def our_requirements(*extras: str) -> tuple[str, ...]:
    """What our own package requires, with some extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    optional = (need for extra in extras for need in project["optional-dependencies"][extra])
    return (*project["dependencies"], *(need for need in optional if not need.startswith("ftsdk[")))


def locks(backend: str) -> Iterator[Lock]:
    """The lock files of a backend."""
    if backend == "autotrain":
        yield Lock(
            "lock.txt",
            requirements=("autotrain-advanced==0.8.36", "torch==2.13.0"),
            python="3.11",
            about="AutoTrain Advanced and what it needs to train language models, for Python 3.11. Left out, for\n"
            "# nothing of it is used: torchvision and timm (images), xgboost (tables).",
            left_out=("timm", "torchvision", "xgboost"),
        )
    if backend == "llamafactory":
        yield Lock(
            "lock.txt",
            requirements=("bitsandbytes==0.50.2", "llamafactory==0.9.5", "torch==2.13.0"),
            python="3.11",
            about="LLaMA-Factory and what it needs to train language models, for Python 3.11. Left out, for nothing\n"
            "# of it is used: torchvision (images), torchaudio (sound; imported all the same, see runner.py).",
            left_out=("torchaudio", "torchvision"),
        )
        yield Lock(
            "lock-ppo.txt",
            requirements=("bitsandbytes==0.50.2", "llamafactory==0.9.3", "pyarrow<20", "torch==2.13.0", "trl==0.9.6"),
            python="3.11",
            about="The last LLaMA-Factory that pins the TRL which its PPO needs, for Python 3.11. Left out as above;\n"
            "# PyArrow is held back to one that takes its NumPy.",
            left_out=("torchaudio", "torchvision"),
        )
    if backend == "unsloth":
        yield Lock(
            "lock.txt",
            requirements=("bitsandbytes==0.50.2", "torch==2.13.0", "unsloth==2026.10.9", "unsloth_zoo==2026.10.9"),
            python="3.11",
            about="Unsloth and what it needs to train language models, for Python 3.11. Left out, for nothing of it "
            "is\n# used: torchvision (images), xformers (attention, which PyTorch has too).",
            left_out=("torchvision", "xformers"),
        )
    if backend == "axolotl":
        yield Lock(
            "lock.txt",
            requirements=("axolotl==0.19.0", "bitsandbytes==0.50.2", "pillow", "sentencepiece", "torch==2.13.0"),
            python="3.11",
            about="Axolotl and what it needs to train language models, for Python 3.11. Left out, for nothing of it\n"
            "# is used: images, sound, web pages, clouds and their stores, trackers, benchmarks; kernels by choice.",
            left_out=(
                *("torchaudio", "torchvision", "xformers", "gradio", "trackio", "modal", "tensorboard"),
                *("adlfs", "gcsfs", "ocifs", "s3fs", "hf-transfer"),
                *("lm-eval", "langdetect", "immutabledict", "antlr4-python3-runtime"),
                *("art", "openenv-core", "optimum", "schedulefree", "mistral-common", "liger-kernel", "torchao"),
                *("kernels", "einops", "fla-core", "flash-linear-attention"),
            ),
            cpu_dependencies=("triton",),
        )
    if backend == "hfjobs":
        linux = ("--python-platform", "x86_64-manylinux_2_28")
        about = "What the local engine needs in a container, for Python 3.12 on Linux; what computes, as it is tested."
        yield Lock("lock.txt", our_requirements("local", "quantize"), "3.12", about, options=linux, tested=True)
        about = "The same, and the experiment trackers."
        yield Lock(
            "lock-trackers.txt",
            our_requirements("local", "quantize", "trackers"),
            "3.12",
            about,
            options=linux,
            tested=True,
        )


def _computing() -> Iterator[str]:
    """The tested versions of what decides the result of a training."""
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines():
        if line.partition("==")[0] in COMPUTING:
            yield line


def resolved(lock: Lock) -> str:
    """The lock file's text."""
    with tempfile.TemporaryDirectory() as folder:
        requirements, overrides = Path(folder, "in.txt"), Path(folder, "never.txt")
        requirements.write_text("\n".join(lock.requirements), "utf-8")
        overrides.write_text("\n".join(f"{package}; python_version < '3'" for package in lock.left_out), "utf-8")
        constraints = Path(folder, "held.txt")
        constraints.write_text("\n".join(_computing() if lock.tested else ()), "utf-8")
        command = ["uv", "pip", "compile", "--quiet", "--python-version", lock.python, "--override", str(overrides)]
        command += ["--constraint", str(constraints)]
        process = subprocess.run(
            [*command, *lock.options, "--no-header", "--no-annotate", str(requirements)],
            capture_output=True,
            text=True,
            check=True,
        )
    lines = (line.partition("+")[0] for line in process.stdout.splitlines())
    required = tuple(f"{package}==" for package in lock.cpu_dependencies)
    torch_dependencies = (
        () if lock.tested else tuple({*TORCH_DEPENDENCIES} - {*required})
    )  # a container's machine is known
    pins = [line for line in lines if not line.startswith(("#", *torch_dependencies))]
    return "\n".join([f"# {lock.about}", "# Made by scripts/lock_engine.py.", *pins, ""])


if __name__ == "__main__":
    for lock_file in locks(sys.argv[1]):
        target = BACKENDS / f"ftsdk_{sys.argv[1]}" / lock_file.file
        target.write_text(resolved(lock_file), "utf-8")
        print(f"{target}: {len(target.read_text('utf-8').splitlines())} lines")
