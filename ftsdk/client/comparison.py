"""One spec held against every installed backend at the same time: which can run it, what it needs, takes and costs."""

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ftsdk import plugins
from ftsdk.backend import Plan
from ftsdk.client import planning, throughput
from ftsdk.client.planning import SpecLike
from ftsdk.errors import FtsdkError
from ftsdk.spec import JobSpec, Section

if TYPE_CHECKING:
    from ftsdk.data.report import DataReport
    from ftsdk.store.store import Store

PATIENCE = 30.0
"""Seconds for all backends together."""


class BackendEstimate(Section):
    """What one backend makes of a spec."""

    backend: str
    can: bool
    """Whether it would take the job now."""
    why_not: str = ""
    """The first reason."""
    memory: int | None = None
    """Bytes at the peak, by forecast."""
    device: str = ""
    """What it would run on, where this is known beforehand."""
    fits: bool | None = None
    """Whether it fits on that device. None: one of the two is not known."""
    seconds: float | None = None
    """The training alone, by an earlier job that was trained in the same way."""
    measured_by: str = ""
    """That job."""
    price: float | None = None
    """US dollars. None: not known; 0: free."""
    charge: str = ""
    """What the price depends on."""
    set_aside: tuple[str, ...] = ()
    """Advice that it would not follow."""


def compare(spec: SpecLike, *, store: "Store | None" = None, patience: float = PATIENCE) -> tuple[BackendEstimate, ...]:
    """Plan a job on every installed backend; nothing is sent but questions, and nothing is spent.

    Args:
        spec: A spec, its fields, or the file that it is in.
        store: Records of earlier jobs, for the time. None: it stays unknown.
        patience: Seconds after which a backend that has not answered is given up.

    Raises:
        SpecError: The spec is wrong.
        DataError: The rows are wrong.
    """
    wanted = planning.read_spec(spec)
    report = planning.check_rows(wanted)
    names = plugins.listed_backend_names(wanted.backend)
    found: dict[str, tuple[BackendEstimate, Plan | None]] = {}

    def ask(name: str) -> None:
        found[name] = _offer(wanted, name)

    threads = [threading.Thread(target=ask, args=(name,), daemon=True) for name in names]
    for thread in threads:
        thread.start()
    _join(threads, patience)
    late = f"no answer within {patience:g} seconds"
    answers = [found.get(name) or (BackendEstimate(backend=name, can=False, why_not=late), None) for name in names]
    return tuple(_timed(offer, plan, report, store) for offer, plan in answers)


def _join(threads: Sequence[threading.Thread], patience: float) -> None:
    end = time.monotonic() + patience
    for thread in threads:
        thread.join(max(end - time.monotonic(), 0))


def _offer(spec: JobSpec, name: str) -> tuple[BackendEstimate, Plan | None]:
    try:
        problems = [str(problem) for problem in plugins.load_backend(name).check()]
        plan = planning.request(spec, backend=name, others=False)
    except FtsdkError as error:
        return BackendEstimate(backend=name, can=False, why_not=_first(error)), None
    except Exception as error:  # noqa: BLE001 - a stranger's plug-in that breaks is a row, too
        return BackendEstimate(backend=name, can=False, why_not=f"it broke with {type(error).__name__}: {error}"), None
    offer = BackendEstimate(
        backend=name,
        can=not problems,
        why_not=problems[0] if problems else "",
        memory=plan.memory and plan.memory.total,
        device=plan.device,
        fits=_fits(plan),
        price=plan.price,
        charge=plan.charge,
        set_aside=tuple(note.field for note in plan.set_aside),
    )
    return offer, plan


def _timed(
    offer: BackendEstimate, plan: Plan | None, report: "DataReport | None", store: "Store | None"
) -> BackendEstimate:
    """With the time, where an earlier job tells it."""
    if plan is None or store is None:
        return offer
    found = throughput.expected(plan.model_copy(update={"data": report}), store)
    return offer.model_copy(update={"seconds": found.seconds, "measured_by": found.ref}) if found else offer


def _fits(plan: Plan) -> bool | None:
    room = plan.spec.compute.memory_limit or plan.device_memory
    return None if plan.memory is None or room is None else plan.memory.total <= room


def _first(error: FtsdkError) -> str:
    """Its first finding, or what it says, with the next step."""
    if error.problems:
        more = len(error.problems) - 1
        return str(error.problems[0]) + (f" (and {more} more)" if more else "")
    return f"{error.message} -> {error.hint}" if error.hint else error.message
