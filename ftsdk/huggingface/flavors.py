"""Hugging Face's machines: their memory, their prices, and the cheapest one that is large enough."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from ftsdk.errors import UnreachableError
from ftsdk.huggingface.connection import Hub
from ftsdk.workers.hardware import Machine

_AMOUNT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*GB\s*")
_PER_HOUR = {"minute": 60, "hour": 1, "second": 3600}
CPU = "cpu"


class Flavor(NamedTuple):
    """One type of machine."""

    name: str
    """Hugging Face's name, such as ``l4x1``."""
    title: str
    """Its name for people."""
    cards: int
    """Accelerators; 0 for a CPU."""
    memory: int
    """Bytes of one card, or the main memory of a machine without any."""
    price: float
    """US dollars for an hour of starting or running."""

    @property
    def machine(self) -> Machine:
        """Its first card, or its CPU."""
        if not self.cards:
            return Machine(CPU, self.title, self.memory, visible="")
        return Machine("cuda-0", self.title, self.memory, visible="0")

    def __str__(self) -> str:
        return f"{self.name} ({self.memory / 1e9:.0f} GB, ${self.price:.2f}/h)"


def flavors(hub: Hub) -> list[Flavor]:
    """All machines for Jobs, the cheapest first; at least one.

    Raises:
        UnreachableError: There is none.
    """
    machines = hub.ask(hub.api.list_jobs_hardware, "list the machines")
    if not machines:
        raise UnreachableError("Hugging Face lists no machine for Jobs", hint="try again later")
    return sorted(map(_flavor, machines), key=lambda flavor: (flavor.price, flavor.memory))


def smallest(choices: Sequence[Flavor], memory: int) -> Flavor | None:
    """The cheapest machine with one card of so many bytes."""
    return next((flavor for flavor in choices if flavor.cards == 1 and flavor.memory >= memory), None)


def _flavor(hardware: Any) -> Flavor:
    card = hardware.accelerator
    cards = int(card.quantity) if card and card.type == "gpu" else 0  # other accelerators run another PyTorch
    memory = _bytes(card.vram) // cards if cards else _bytes(hardware.ram)
    price = hardware.unit_cost_micro_usd * 1e-6 * _PER_HOUR.get(hardware.unit_label, 60)
    return Flavor(hardware.name, hardware.pretty_name, cards, memory, round(price, 6))


def _bytes(amount: str) -> int:
    """The bytes of ``24 GB``; 0 where the text has another form."""
    match = _AMOUNT.fullmatch(amount)
    # GB may be meant as GiB. The smaller reading is safe: a job is never given a card that is too small.
    return int(float(match[1]) * 10**9) if match else 0
