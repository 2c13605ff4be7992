"""The AutoTrain backend: Hugging Face's AutoTrain Advanced, in an environment of its own."""

from typing import Any, ClassVar

from ftsdk.backend import Capabilities, Options, Plan
from ftsdk.kit.hardware import device
from ftsdk.kit.jobs.engines import EngineBackend
from ftsdk.spec import JobSpec
from ftsdk_autotrain import translate
from ftsdk_autotrain.installation import HOUSE
from ftsdk_autotrain.options import AutoTrainOptions

__all__ = ["AutoTrainBackend"]


class AutoTrainBackend(EngineBackend):
    """Supervised and preference fine-tuning, and reward models, by AutoTrain 0.8.36."""

    name = "autotrain"
    worker = "ftsdk_autotrain.worker"
    house = HOUSE
    Options: ClassVar[type[Options]] = AutoTrainOptions

    def capabilities(self) -> Capabilities:
        """What AutoTrain's trainers of language models do."""
        return Capabilities(
            methods=frozenset(translate.TASKS),
            adapters=frozenset({"full", "lora"}),
            quantizations=frozenset(translate.QUANTIZATIONS),
            formats=frozenset().union(*translate.FORMATS.values()) - {"auto"},
            verbs=frozenset({"events", "metrics", "cancel", "resume", "fetch"}),
        )

    def plan(self, spec: JobSpec, options: Any) -> Plan:
        """AutoTrain's YAML."""
        return translate.plan(spec, options, device(options.device), HOUSE.version)
