"""Hugging Face's machines: what they have, what they cost, and the cheapest one that is large enough."""

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
    """One sort of machine."""

    name: str
    """Hugging Face's, such as ``l4x1``."""
    title: str
    """What it is called for people."""
    cards: int
    """Accelerators; 0 for a CPU."""
    memory: int
    """Bytes of one card, or the main memory of a machine without any."""
    price: float
    """US dollars for an hour of starting or running."""

    @property
    def machine(self) -> Machine:
        """The machine, as a translation wants it: its first card, or its CPU."""
        if not self.cards:
            return Machine(CPU, self.title, self.memory, visible="")
        return Machine("cuda-0", self.title, self.memory, visible="0")

    def __str__(self) -> str:
        what = f"{self.memory / 1e9:.0f} GB"
        return f"{self.name} ({what}, ${self.price:.2f}/h)"


def flavors(hub: Hub) -> list[Flavor]:
    """All machines that Jobs run on today, the cheapest first; at least one.

    Raises:
        UnreachableError: There is none.
    """
    found = hub.ask(hub.api.list_jobs_hardware, "list the machines")
    if not found:
        raise UnreachableError("Hugging Face lists no machine for Jobs", hint="try again later")
    return sorted((_flavor(each) for each in found), key=lambda flavor: (flavor.price, flavor.memory))


def smallest(choices: Sequence[Flavor], memory: int) -> Flavor | None:
    """The cheapest machine with one card that holds so many bytes."""
    return next((flavor for flavor in choices if flavor.cards == 1 and flavor.memory >= memory), None)


def _flavor(told: Any) -> Flavor:
    card = told.accelerator
    cards = int(card.quantity) if card and card.type == "gpu" else 0  # other accelerators run another PyTorch
    memory = _bytes(card.vram) // cards if cards else _bytes(told.ram)
    price = told.unit_cost_micro_usd * 1e-6 * _PER_HOUR.get(told.unit_label, 60)
    return Flavor(told.name, told.pretty_name, cards, memory, round(price, 6))


def _bytes(said: str) -> int:
    """Of ``24 GB``; the makers' gigabytes, which a card has at the least. 0 where it is said otherwise."""
    found = _AMOUNT.fullmatch(said)
    return int(float(found[1]) * 10**9) if found else 0
