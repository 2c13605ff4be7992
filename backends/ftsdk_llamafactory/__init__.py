"""The LLaMA-Factory backend: LLaMA-Factory, in an environment of its own."""

from collections.abc import Mapping
from typing import Any, ClassVar

from ftsdk.backend import Capabilities, Options, Plan
from ftsdk.kit.engines.backend import EngineBackend
from ftsdk.kit.engines.house import House
from ftsdk.kit.formats import FORMATS
from ftsdk.kit.hardware import device
from ftsdk.kit.hub.pins import pins_of
from ftsdk.spec import JobSpec
from ftsdk_llamafactory import translate
from ftsdk_llamafactory.installation import HOUSE, HOUSES
from ftsdk_llamafactory.methods import STAGES
from ftsdk_llamafactory.options import LlamaFactoryOptions

__all__ = ["LlamaFactoryBackend"]


class LlamaFactoryBackend(EngineBackend):
    """Supervised and preference fine-tuning by LLaMA-Factory 0.9.5, with ftsdk's own tokens and labels."""

    name = translate.NAME
    worker = "ftsdk_llamafactory.worker"
    house = HOUSE
    houses: ClassVar[Mapping[str, House]] = HOUSES
    Options: ClassVar[type[Options]] = LlamaFactoryOptions

    def capabilities(self) -> Capabilities:
        """What this backend has LLaMA-Factory do."""
        return Capabilities(
            methods=frozenset(STAGES),
            adapters=frozenset({"full", "lora", "dora", "rslora"}),
            quantizations=frozenset(translate.QUANTIZATIONS),
            formats=frozenset().union(*(FORMATS[method] for method in STAGES)),
            verbs=frozenset({"events", "metrics", "cancel", "resume", "fetch"}),
        )

    def plan(self, spec: JobSpec, options: Any) -> Plan:
        """LLaMA-Factory's YAML."""
        pins = pins_of(spec, self.name)
        return translate.plan(spec, options, device(options.device), self.house_for(spec.method.type).version, pins)
