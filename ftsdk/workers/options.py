"""Options of every backend whose jobs run on this machine."""

from typing import Annotated

from pydantic import Field

from ftsdk.backend import Options


class WorkerOptions(Options):
    """How a job is run on this machine."""

    device: Annotated[str, Field(pattern=r"^(cpu|cuda-\d{1,3})$")] | None = None
    """``cpu``, or ``cuda-0`` with the number that nvidia-smi shows. None: the first card, or else the CPU."""
    grace_seconds: Annotated[int, Field(ge=0, le=3600)] = 30
    """Seconds that a job has to save a checkpoint once it is asked to stop, before it is killed."""
