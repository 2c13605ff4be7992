"""Show one spec on every installed backend side by side; nothing is spent."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import RenderableType

import ftsdk
from ftsdk.cli.command import Answer
from ftsdk.cli.console import Screen, table, words
from ftsdk.cli.units import dollars, duration, size

if TYPE_CHECKING:
    from ftsdk.client.comparison import BackendEstimate
    from ftsdk.spec import JobSpec

_HEADINGS = ("backend", "can it", "memory", "time", "price", "sets aside")


def on_all_backends(spec: "JobSpec") -> Answer:
    """The answer of ``ftsdk plan --all-backends``."""
    from ftsdk.client.comparison import compare  # noqa: PLC0415 - only for this option

    found = compare(spec, store=ftsdk.Client().store)

    def show(screen: Screen) -> None:
        screen.out.print(table(_HEADINGS, map(_row, found)))

    return Answer(data=lambda: [offer.model_dump(mode="json") for offer in found], show=show)


def _row(offer: "BackendEstimate") -> Sequence[RenderableType]:
    can = words("yes", "green") if offer.can else words(offer.why_not, "yellow")
    return offer.backend, can, _memory(offer), _time(offer), _price(offer), ", ".join(offer.set_aside)


def _memory(offer: "BackendEstimate") -> str:
    if offer.memory is None:
        return offer.device
    verdict = {None: "", True: ", fits", False: ", does not fit"}[offer.fits]
    return size(offer.memory) + (f" on {offer.device}" if offer.device else "") + verdict


def _time(offer: "BackendEstimate") -> str:
    """What nobody has measured is not known."""
    return "" if offer.seconds is None else f"{duration(offer.seconds)}, by {offer.measured_by}"


def _price(offer: "BackendEstimate") -> str:
    if offer.price is None:
        return offer.charge
    return dollars(offer.price)
