"""The local backend: fine-tunes on this machine, in a detached worker process."""

import logging
from typing import Any, ClassVar

from ftsdk.backend import Capabilities, Options, Plan
from ftsdk.data.formats import FORMATS_OF_METHOD
from ftsdk.errors import Problem
from ftsdk.huggingface.revisions import pin_revisions
from ftsdk.workers.backend import WorkerBackend
from ftsdk.workers.hardware import device
from ftsdk.workers.options import WorkerOptions
from ftsdk_local import methods, requirements, translate

__all__ = ["LocalBackend"]

# Transformers imports these where they are installed, and they warn of kernels that only other machines have.
for logger_name in ("bitsandbytes.backends.cpu.ops", "torch.utils._pytree", "torchao"):
    logging.getLogger(logger_name).setLevel(logging.ERROR)


class LocalBackend(WorkerBackend):
    """ftsdk's own engine, in a process of its own on this machine."""

    name = "local"
    worker = "ftsdk_local.worker"
    Options: ClassVar[type[Options]] = WorkerOptions

    def capabilities(self) -> Capabilities:
        """The engine's methods, adapters, quantizations, formats and verbs."""
        return Capabilities(
            methods=frozenset(methods.OPTIONS),
            adapters=frozenset({"full", "lora", "dora", "rslora"}),
            quantizations=frozenset({"nf4", "fp4", "int8"}),
            formats=frozenset().union(*FORMATS_OF_METHOD.values()),
            verbs=frozenset({"events", "metrics", "cancel", "resume", "fetch"}),
        )

    def check(self) -> list[Problem]:
        """Packages that are missing or too old."""
        return requirements.check()

    def plan(self, spec: Any, options: Any) -> Plan:
        """The engine's settings, with names on the Hub pinned to commits. Only these are asked for; nothing is sent."""
        return translate.plan(spec, device(options.device), pin_revisions(spec, self.name))
