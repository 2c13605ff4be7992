"""One spec on every installed backend at the same time: which supports it, its memory, time and price."""

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ftsdk import registry
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
    """A spec on one backend."""

    backend: str
    can: bool
    """Whether the backend could run the job now."""
    why_not: str = ""
    """The first reason, where it could not."""
    memory: int | None = None
    """Bytes at the peak, by forecast."""
    device: str = ""
    """The device that it would run on, where this is known beforehand."""
    fits: bool | None = None
    """Whether it fits on that device. None: one of the two is not known."""
    seconds: float | None = None
    """The training alone, from an earlier job with the same settings."""
    measured_by: str = ""
    """That earlier job."""
    price: float | None = None
    """US dollars. None: not known; 0: free."""
    charge: str = ""
    """What the price depends on."""
    set_aside: tuple[str, ...] = ()
    """Advice that it would ignore."""


def compare(spec: SpecLike, *, store: "Store | None" = None, patience: float = PATIENCE) -> tuple[BackendEstimate, ...]:
    """Plan a job on every installed backend; only queries are sent, and nothing is spent.

    Args:
        spec: A spec, its fields, or a file with it.
        store: Records of earlier jobs, for the time. None: no time is given.
        patience: Seconds to wait for the backends' answers.

    Raises:
        SpecError: The spec is wrong.
        DataError: The rows are wrong.
    """
    job_spec = planning.read_spec(spec)
    report = planning.check_rows(job_spec)
    names = registry.listed_backend_names(job_spec.backend)
    answers: dict[str, tuple[BackendEstimate, Plan | None]] = {}

    def query(name: str) -> None:
        answers[name] = _estimate_backend(job_spec, name)

    # Daemons, because a backend that never answers must not keep the process from ending.
    threads = [threading.Thread(target=query, args=(name,), daemon=True) for name in names]
    for thread in threads:
        thread.start()
    _join(threads, patience)
    late = f"no answer within {patience:g} seconds"
    estimates = [answers.get(name) or (BackendEstimate(backend=name, can=False, why_not=late), None) for name in names]
    return tuple(_with_time(estimate, plan, report, store) for estimate, plan in estimates)


def _join(threads: Sequence[threading.Thread], patience: float) -> None:
    end = time.monotonic() + patience
    for thread in threads:
        thread.join(max(end - time.monotonic(), 0))


def _estimate_backend(spec: JobSpec, name: str) -> tuple[BackendEstimate, Plan | None]:
    try:
        problems = [str(problem) for problem in registry.load_backend(name).check()]
        plan = planning.request(spec, backend=name, name_alternatives=False)
    except FtsdkError as error:
        return BackendEstimate(backend=name, can=False, why_not=_first_reason(error)), None
    except Exception as error:  # noqa: BLE001 - a third party's plug-in that crashes is a row, too
        return BackendEstimate(
            backend=name, can=False, why_not=f"it crashed with {type(error).__name__}: {error}"
        ), None
    estimate = BackendEstimate(
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
    return estimate, plan


def _with_time(
    estimate: BackendEstimate, plan: Plan | None, report: "DataReport | None", store: "Store | None"
) -> BackendEstimate:
    """The estimate with a time, where an earlier job gives it."""
    if plan is None or store is None:
        return estimate
    time_estimate = throughput.estimate_time(plan.model_copy(update={"data": report}), store)
    if time_estimate is None:
        return estimate
    return estimate.model_copy(update={"seconds": time_estimate.seconds, "measured_by": time_estimate.ref})


def _fits(plan: Plan) -> bool | None:
    limit = plan.spec.compute.memory_limit or plan.device_memory
    return None if plan.memory is None or limit is None else plan.memory.total <= limit


def _first_reason(error: FtsdkError) -> str:
    """The first problem of an error, or its message, with the next step."""
    if error.problems:
        more = len(error.problems) - 1
        return str(error.problems[0]) + (f" (and {more} more)" if more else "")
    return f"{error.message} -> {error.hint}" if error.hint else error.message
