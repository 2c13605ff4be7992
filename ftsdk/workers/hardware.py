"""The devices of this machine, without importing torch."""

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
    """The device that a job runs on."""

    device: str
    """``cpu``, or ``cuda-0`` with the number that nvidia-smi shows."""
    name: str
    """The product's name."""
    memory: int
    """Bytes in all: of the card, or the main memory that this process may use."""
    visible: str
    """What ``CUDA_VISIBLE_DEVICES`` must be for a process to see this device and no other."""

    @property
    def cuda(self) -> bool:
        """Whether it is an NVIDIA card."""
        return self.device != "cpu"


def device(name: str | None = None) -> Machine:
    """The device of this name, or else the first NVIDIA card that ``CUDA_VISIBLE_DEVICES`` lets us see, or the CPU.

    Raises:
        ConfigError: There is no such device.
    """
    if name == "cpu":
        return _cpu()
    matches = [card for card in _cards() if name in (None, card.device)]
    if name is None:
        return matches[0] if matches else _cpu()
    if not matches:
        raise ConfigError(
            f"there is no device {name!r} on this machine", hint="nvidia-smi lists the cards; cpu is always there"
        )
    return matches[0]


def _cpu() -> Machine:
    # In a container, the control group's limit is what the kernel kills for, not the memory of the machine.
    limits = [int(text) for path in _MEMORY_LIMITS if (text := _read(path)).isdecimal()]
    return Machine("cpu", "CPU", min([psutil.virtual_memory().total, *limits]), visible="")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:  # no such control group here
        return ""


def _cards() -> list[Machine]:
    """The cards that a process sees, in the order that CUDA numbers them."""
    rows = list(csv.reader(_nvidia_smi().splitlines(), skipinitialspace=True))
    by_name = {
        key: Machine(f"cuda-{index}", name, _bytes(memory), visible=index)
        for index, uuid, name, memory in (row for row in rows if len(row) == 4)
        for key in (index, uuid)
    }
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return list(dict.fromkeys(by_name.values()))
    return [card for entry in visible.split(",") if (card := _card(entry.strip(), by_name))]


def _card(entry: str, by_name: Mapping[str, Machine]) -> Machine | None:
    """The card of an entry: a number, the beginning of its unique name, or a slice of a card (MIG)."""
    if entry.startswith("MIG-") and by_name:
        # nvidia-smi's query names no slices, so the card's own name and size stand for them
        card = next(iter(by_name.values()))
        return Machine(f"cuda-{entry}", f"a slice of {card.name}", card.memory, visible=entry)
    matches = (card for key, card in by_name.items() if entry == key or (entry[:4] == "GPU-" and key.startswith(entry)))
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
    """A card's memory; that of the machine for cards that share it, of which nvidia-smi gives no number."""
    return int(mebibytes) * MIB if mebibytes.isdecimal() else psutil.virtual_memory().total
