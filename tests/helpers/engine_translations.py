"""Call an engine's translation: on a processor or a card, for a plan or for its refusals."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import pytest

from ftsdk import JobSpec
from ftsdk.backend import Options, Plan
from ftsdk.errors import UnsupportedSpec
from ftsdk.huggingface.revisions import Pins
from ftsdk.workers.hardware import Machine

BASE = {"model": "org/base", "dataset": "/data/rows.jsonl"}
CPU = Machine("cpu", "CPU", 16 * 2**30, visible="")
CARD = Machine("cuda-0", "NVIDIA GeForce RTX 4090", 24 * 2**30, visible="0")

ALL_SET: dict[str, Any] = {
    "adapter": {"r": 8, "alpha": 32, "dropout": 0.05, "target_modules": ["q_proj", "v_proj"]},
    "method": {"type": "sft", "train_on": "all"},
    "val_size": 0.1,
    "trust_remote_code": True,
    "training": {
        "max_steps": 40,
        "learning_rate": 3e-5,
        "lr_scheduler_type": "linear",
        "warmup_steps": 4,
        "global_batch_size": 24,
        "max_length": 4096,
        "optim": "adafactor",
        "weight_decay": 0.1,
        "max_grad_norm": 0.5,
        "seed": 7,
        "neftune_noise_alpha": 5,
        "logging_steps": 5,
        "save_steps": 10,
        "eval_steps": 20,
        "save_total_limit": 3,
    },
    "compute": {"per_device_train_batch_size": 6, "gradient_checkpointing": False, "attention": "eager"},
}
"""Nothing of it is a default."""


class Translation:
    """One engine's.

    Args:
        module: Has ``plan`` and ``NAME``.
        options: What the engine alone has.
        version: Of the engine.
    """

    def __init__(self, module: ModuleType, options: type[Options], version: str) -> None:
        self.module, self.options, self.version = module, options, version

    def planned(
        self,
        changes: Mapping[str, Any] | None = None,
        machine: Machine = CPU,
        pins: Pins | None = None,
        **options: object,
    ) -> Plan:
        """The plan for a spec that is :data:`BASE` but for the changes."""
        spec = JobSpec(**{**BASE, **(changes or {})})
        options_model = self.options.model_validate({**spec.backend_options.get(self.module.NAME, {}), **options})
        plan: Plan = self.module.plan(spec, options_model, machine, self.version, pins or {})
        return plan

    def refused(self, changes: Mapping[str, Any], machine: Machine = CPU) -> dict[str, str]:
        """From each refused field to the reason."""
        with pytest.raises(UnsupportedSpec) as caught:
            self.planned(changes, machine)
        return {problem.where: str(problem) for problem in caught.value.problems}
