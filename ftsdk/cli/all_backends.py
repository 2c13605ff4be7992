"""``ftsdk plan --all-backends``: one spec on every installed backend, side by side; nothing is spent."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import RenderableType

import ftsdk
from ftsdk.cli.command import CommandResult
from ftsdk.cli.console import Screen, styled, table
from ftsdk.cli.units import dollars, duration, size

if TYPE_CHECKING:
    from ftsdk.client.comparison import BackendEstimate
    from ftsdk.spec import JobSpec

_HEADINGS = ("backend", "supported", "memory", "time", "price", "ignored advice")


def compare_backends(spec: "JobSpec") -> CommandResult:
    """The result of ``ftsdk plan --all-backends``."""
    from ftsdk.client.comparison import compare  # noqa: PLC0415 - only for this option

    estimates = compare(spec, store=ftsdk.Client().store)

    def show(screen: Screen) -> None:
        screen.out.print(table(_HEADINGS, map(_row, estimates)))

    return CommandResult(data=lambda: [estimate.model_dump(mode="json") for estimate in estimates], show=show)


def _row(estimate: "BackendEstimate") -> Sequence[RenderableType]:
    supported = styled("yes", "green") if estimate.can else styled(estimate.why_not, "yellow")
    return (
        estimate.backend,
        supported,
        _memory(estimate),
        _time(estimate),
        _price(estimate),
        ", ".join(estimate.set_aside),
    )


def _memory(estimate: "BackendEstimate") -> str:
    if estimate.memory is None:
        return estimate.device
    fits_text = {None: "", True: ", fits", False: ", does not fit"}[estimate.fits]
    return size(estimate.memory) + (f" on {estimate.device}" if estimate.device else "") + fits_text


def _time(estimate: "BackendEstimate") -> str:
    """Empty where no earlier job measured it."""
    return "" if estimate.seconds is None else f"{duration(estimate.seconds)}, by {estimate.measured_by}"


def _price(estimate: "BackendEstimate") -> str:
    if estimate.price is None:
        return estimate.charge
    return dollars(estimate.price)
