"""Fine-tune a language model from one typed job spec, on any backend.

>>> import ftsdk
>>> spec = ftsdk.JobSpec(model="Qwen/Qwen3-0.6B", dataset="train.jsonl")
>>> job = ftsdk.submit(spec)  # doctest: +SKIP
>>> artifact = job.fetch("out/")  # doctest: +SKIP

Names are loaded when they are first used, so that ``import ftsdk`` costs next to nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # type checkers cannot read the table below; a test compares the two
    from ftsdk.artifact import Artifact as Artifact
    from ftsdk.artifact import merge as merge
    from ftsdk.artifact import quantize as quantize
    from ftsdk.backend import Plan as Plan
    from ftsdk.client import Client as Client
    from ftsdk.client import Estimate as Estimate
    from ftsdk.client import Job as Job
    from ftsdk.client import cancel as cancel
    from ftsdk.client import estimate as estimate
    from ftsdk.client import events as events
    from ftsdk.client import fetch as fetch
    from ftsdk.client import job as job
    from ftsdk.client import jobs as jobs
    from ftsdk.client import logs as logs
    from ftsdk.client import plan as plan
    from ftsdk.client import resume as resume
    from ftsdk.client import status as status
    from ftsdk.client import submit as submit
    from ftsdk.client import wait as wait
    from ftsdk.errors import AmbiguousError as AmbiguousError
    from ftsdk.errors import ArtifactError as ArtifactError
    from ftsdk.errors import AuthError as AuthError
    from ftsdk.errors import BackendError as BackendError
    from ftsdk.errors import BackendNotFound as BackendNotFound
    from ftsdk.errors import ConfigError as ConfigError
    from ftsdk.errors import DataError as DataError
    from ftsdk.errors import FtsdkError as FtsdkError
    from ftsdk.errors import InputError as InputError
    from ftsdk.errors import JobCancelled as JobCancelled
    from ftsdk.errors import JobError as JobError
    from ftsdk.errors import JobFailed as JobFailed
    from ftsdk.errors import JobNotFound as JobNotFound
    from ftsdk.errors import JobNotReady as JobNotReady
    from ftsdk.errors import KeyMismatch as KeyMismatch
    from ftsdk.errors import MissingExtra as MissingExtra
    from ftsdk.errors import RejectedError as RejectedError
    from ftsdk.errors import SpecError as SpecError
    from ftsdk.errors import StoreBusy as StoreBusy
    from ftsdk.errors import StoreError as StoreError
    from ftsdk.errors import UnreachableError as UnreachableError
    from ftsdk.errors import UnsupportedSpec as UnsupportedSpec
    from ftsdk.errors import WaitTimeout as WaitTimeout
    from ftsdk.importers.convert import Imported as Imported
    from ftsdk.importers.convert import import_config as import_config
    from ftsdk.job_types import Event as Event
    from ftsdk.job_types import JobRef as JobRef
    from ftsdk.job_types import JobState as JobState
    from ftsdk.job_types import JobStatus as JobStatus
    from ftsdk.job_types import Reason as Reason
    from ftsdk.registry import backend_names as backend_names
    from ftsdk.spec import DPO as DPO
    from ftsdk.spec import GRPO as GRPO
    from ftsdk.spec import KTO as KTO
    from ftsdk.spec import ORPO as ORPO
    from ftsdk.spec import PPO as PPO
    from ftsdk.spec import SFT as SFT
    from ftsdk.spec import Compute as Compute
    from ftsdk.spec import Dataset as Dataset
    from ftsdk.spec import JobSpec as JobSpec
    from ftsdk.spec import LoRA as LoRA
    from ftsdk.spec import RewardModeling as RewardModeling
    from ftsdk.spec import Training as Training
    from ftsdk.spec.loader import load_spec as load_spec

__version__ = "0.1.0"

_NAMES = {
    "ftsdk.artifact": "Artifact merge quantize",
    "ftsdk.backend": "Plan",
    "ftsdk.client": "Client Estimate Job cancel estimate events fetch job jobs logs plan resume status submit wait",
    "ftsdk.errors": (
        "AmbiguousError ArtifactError AuthError BackendError BackendNotFound ConfigError DataError FtsdkError "
        "InputError JobCancelled JobError JobFailed JobNotFound JobNotReady KeyMismatch MissingExtra "
        "RejectedError SpecError StoreBusy StoreError UnreachableError UnsupportedSpec WaitTimeout"
    ),
    "ftsdk.importers.convert": "Imported import_config",
    "ftsdk.job_types": "Event JobRef JobState JobStatus Reason",
    "ftsdk.registry": "backend_names",
    "ftsdk.spec": "DPO GRPO KTO ORPO PPO SFT Compute Dataset JobSpec LoRA RewardModeling Training",
    "ftsdk.spec.loader": "load_spec",
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = sorted(_MODULES)  # noqa: PLE0605  # a list, which the rule does not see


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'ftsdk' has no attribute {name!r}")
    attribute = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = attribute
    return attribute


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
