"""From an engine's translation to the plan: the engine's configuration, the runner's request, the memory estimate."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from ftsdk.backend import Plan
from ftsdk.engines import fields
from ftsdk.engines.fields import ModelReference
from ftsdk.huggingface.revisions import Pins, pin_warnings, pinned_commits
from ftsdk.translation.ledger import Ledger
from ftsdk.translation.model_config import check_base, model_warnings
from ftsdk.translation.model_folder_checks import model_problems
from ftsdk.workers.hardware import Machine


class EngineRequest(NamedTuple):
    """What a translation decides for an engine."""

    engine: str
    """Its name and version."""
    config: dict[str, Any]
    """Its own configuration."""
    environment: Mapping[str, str]
    """Environment variables that are set for it."""
    command: str
    """The command that does the same by hand, in the engine's folder."""
    rows: int
    """In a batch of the device."""
    halves: bool
    """Whether it computes in 16 bits, by mixed precision."""
    logit_rows: int | None = None
    """Rows of logits that its loss takes at a time. None: all."""
    task: Mapping[str, Any] = MappingProxyType({})
    """The part of the runner's request that other engines do not have."""
    warnings: Sequence[str] = ()
    """What the user should know of this engine or method."""


def plan_of(ledger: Ledger, native: EngineRequest, model: ModelReference, machine: Machine, pins: Pins) -> Plan:
    """Close the ledger of a translation, and make the plan.

    Raises:
        UnsupportedSpec: With every field that the engine cannot honour.
    """
    check_base(ledger, *model, packed=("bitsandbytes",))
    ledger.close()
    spec = ledger.spec
    memory = fields.memory_of(
        spec, model, machine, rows=native.rows, halves=native.halves, logit_rows=native.logit_rows
    )
    return Plan(
        backend=ledger.backend,
        spec=spec,
        native={
            "engine": native.engine,
            "config": native.config,
            "environment": dict(native.environment),
            "task": {**fields.task_of(ledger, pinned_commits(ledger, pins), model), **native.task},
        },
        honoured=ledger.honoured,
        set_aside=tuple(ledger.set_aside),
        backends_own=tuple(ledger.backend_defaults),
        command=native.command,
        **memory.fields,
        device=machine.name,
        device_memory=machine.memory,
        price=0.0,
        warnings=(
            *pin_warnings(pins),
            *map(str, model_problems(model.name)),
            *model_warnings(spec, *model),
            *native.warnings,
        ),
    )
