"""What the engine says from inside a Job."""

from collections.abc import Callable
from typing import Any

from ftsdk.kit.hub.results import Result
from ftsdk.kit.hub.watch import Fields, Tongue
from ftsdk.kit.jobs.outcome import Outcome
from ftsdk.redact import redact


def _hear() -> Callable[[str], Fields | None]:
    """Its happenings are printed as such; all else is a line of log."""
    return lambda line: {"kind": "log", "message": redact(line)}


def _read(result: Result) -> Outcome:
    told: dict[str, Any] = {name: result.outcome[name] for name in Outcome.model_fields if name in result.outcome}
    return Outcome.model_validate(told)


TONGUE = Tongue(_hear, _read)
