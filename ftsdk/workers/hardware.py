"""What this machine can train on, found out without importing torch."""

import csv
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import psutil

from ftsdk.errors import ConfigError

_QUERY = ("--query-gpu=index,uuid,name,memory.total", "--format=csv,noheader,nounits")
_QUERY_SECONDS = 20.0  # the driver may have to be loaded first
_MEMORY_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
MIB = 2**20


class Machine(NamedTuple):
    """The one device that a job runs on."""

    device: str
    """``cpu``, or ``cuda-0`` with the number that nvidia-smi shows."""
    name: str
    """What its maker calls it."""
    memory: int
    """Bytes in all: of the card, or the main memory that this process may use."""
    visible: str
    """What ``CUDA_VISIBLE_DEVICES`` must be for a process to see this device and no other."""

    @property
    def cuda(self) -> bool:
        """Whether it is an NVIDIA card."""
        return self.device != "cpu"


def device(wanted: str | None = None) -> Machine:
    """The device of this name, or else the first NVIDIA card that ``CUDA_VISIBLE_DEVICES`` lets us see, or the CPU.

    Raises:
        ConfigError: There is no such device.
    """
    if wanted == "cpu":
        return _cpu()
    found = [card for card in _cards() if wanted in (None, card.device)]
    if wanted is None:
        return found[0] if found else _cpu()
    if not found:
        raise ConfigError(
            f"there is no device {wanted!r} on this machine", hint="nvidia-smi lists the cards; cpu is always there"
        )
    return found[0]


def _cpu() -> Machine:
    limits = [int(text) for path in _MEMORY_LIMITS if (text := _read(path)).isdecimal()]
    return Machine("cpu", "CPU", min([psutil.virtual_memory().total, *limits]), visible="")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:  # no such control group here
        return ""


def _cards() -> list[Machine]:
    """The cards that a process of ours sees, in its order."""
    rows = list(csv.reader(_nvidia_smi().splitlines(), skipinitialspace=True))
    by_name = {
        key: Machine(f"cuda-{index}", name, _bytes(memory), visible=index)
        for index, uuid, name, memory in (row for row in rows if len(row) == 4)
        for key in (index, uuid)
    }
    words = os.environ.get("CUDA_VISIBLE_DEVICES")
    if words is None:
        return list(dict.fromkeys(by_name.values()))
    return [card for word in words.split(",") if (card := _card(word.strip(), by_name))]


def _card(word: str, by_name: Mapping[str, Machine]) -> Machine | None:
    """The card that CUDA means by a word: a number, the beginning of its long name, or a slice of a card (MIG)."""
    if word.startswith("MIG-") and by_name:
        whole = next(iter(by_name.values()))
        return Machine(f"cuda-{word}", f"a slice of {whole.name}", whole.memory, visible=word)
    matches = (card for key, card in by_name.items() if word == key or (word[:4] == "GPU-" and key.startswith(word)))
    return next(matches, None)


def _nvidia_smi() -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    try:
        return subprocess.run(
            [program, *_QUERY], capture_output=True, text=True, timeout=_QUERY_SECONDS, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):  # the tool without a working card or driver
        return ""


def _bytes(mebibytes: str) -> int:
    """Cards that share the main memory show no amount of their own."""
    return int(mebibytes) * MIB if mebibytes.isdecimal() else psutil.virtual_memory().total
