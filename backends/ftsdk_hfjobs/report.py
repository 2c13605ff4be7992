"""What the engine says from inside a Job."""

from collections.abc import Callable
from typing import Any

from ftsdk.huggingface.monitor import Fields, LogParser
from ftsdk.huggingface.results import Result
from ftsdk.redact import redact
from ftsdk.workers.outcome import Outcome


def _hear() -> Callable[[str], Fields | None]:
    """Its happenings are printed as such; all else is a line of log."""
    return lambda line: {"kind": "log", "message": redact(line)}


def _read(result: Result) -> Outcome:
    told: dict[str, Any] = {name: result.outcome[name] for name in Outcome.model_fields if name in result.outcome}
    return Outcome.model_validate(told)


TONGUE = LogParser(_hear, _read)
