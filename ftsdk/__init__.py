"""Fine-tune a language model from one typed job spec, on any backend.

>>> import ftsdk
>>> spec = ftsdk.JobSpec(model="Qwen/Qwen3-0.6B", dataset="train.jsonl")
>>> job = ftsdk.submit(spec)  # doctest: +SKIP
>>> artifact = job.fetch("out/")  # doctest: +SKIP

Names are loaded when they are first used, so that ``import ftsdk`` costs next to nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ftsdk.artifact import Artifact, merge, quantize
    from ftsdk.backend import Plan
    from ftsdk.client import (
        Client,
        Estimate,
        Job,
        cancel,
        estimate,
        events,
        fetch,
        jobs,
        logs,
        plan,
        resume,
        status,
        submit,
        wait,
    )
    from ftsdk.errors import DataError, FtsdkError, JobCancelled, JobFailed, SpecError, UnsupportedSpec, WaitTimeout
    from ftsdk.importers.convert import Imported, import_config
    from ftsdk.job_types import Event, JobRef, JobState, JobStatus, Reason
    from ftsdk.plugins import backend_names
    from ftsdk.spec import (
        DPO,
        GRPO,
        KTO,
        ORPO,
        PPO,
        SFT,
        Compute,
        Dataset,
        JobSpec,
        LoRA,
        RewardModeling,
        Training,
    )
    from ftsdk.spec.loader import load_spec

__version__ = "0.1.0"

_HOME_OF = {
    "ftsdk.artifact": ("Artifact", "merge", "quantize"),
    "ftsdk.backend": ("Plan",),
    "ftsdk.client": (
        "Client",
        "Estimate",
        "Job",
        "cancel",
        "estimate",
        "events",
        "fetch",
        "jobs",
        "logs",
        "plan",
        "resume",
        "status",
        "submit",
        "wait",
    ),
    "ftsdk.errors": (
        "DataError",
        "FtsdkError",
        "JobCancelled",
        "JobFailed",
        "SpecError",
        "UnsupportedSpec",
        "WaitTimeout",
    ),
    "ftsdk.importers.convert": ("Imported", "import_config"),
    "ftsdk.job_types": ("Event", "JobRef", "JobState", "JobStatus", "Reason"),
    "ftsdk.plugins": ("backend_names",),
    "ftsdk.spec": (
        "DPO",
        "GRPO",
        "KTO",
        "ORPO",
        "PPO",
        "SFT",
        "Compute",
        "Dataset",
        "JobSpec",
        "LoRA",
        "RewardModeling",
        "Training",
    ),
    "ftsdk.spec.loader": ("load_spec",),
}
_MODULE_OF = {name: module for module, names in _HOME_OF.items() for name in names}

__all__ = [
    "DPO",
    "GRPO",
    "KTO",
    "ORPO",
    "PPO",
    "SFT",
    "Artifact",
    "Client",
    "Compute",
    "DataError",
    "Dataset",
    "Estimate",
    "Event",
    "FtsdkError",
    "Imported",
    "Job",
    "JobCancelled",
    "JobFailed",
    "JobRef",
    "JobSpec",
    "JobState",
    "JobStatus",
    "LoRA",
    "Plan",
    "Reason",
    "RewardModeling",
    "SpecError",
    "Training",
    "UnsupportedSpec",
    "WaitTimeout",
    "backend_names",
    "cancel",
    "estimate",
    "events",
    "fetch",
    "import_config",
    "jobs",
    "load_spec",
    "logs",
    "merge",
    "plan",
    "quantize",
    "resume",
    "status",
    "submit",
    "wait",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'ftsdk' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
