"""The Unsloth backend: Unsloth, in an environment of its own."""

from typing import Any, ClassVar

from ftsdk.backend import Capabilities, Options, Plan
from ftsdk.kit.engines.backend import EngineBackend
from ftsdk.kit.formats import FORMATS
from ftsdk.kit.hardware import device
from ftsdk.kit.hub.pins import pins_of
from ftsdk.spec import JobSpec
from ftsdk_unsloth import translate
from ftsdk_unsloth.installation import HOUSE
from ftsdk_unsloth.options import UnslothOptions

__all__ = ["UnslothBackend"]


class UnslothBackend(EngineBackend):
    """Supervised and preference fine-tuning and reward models by Unsloth, with ftsdk's own tokens and labels."""

    name = translate.NAME
    worker = "ftsdk_unsloth.worker"
    house = HOUSE
    Options: ClassVar[type[Options]] = UnslothOptions

    def capabilities(self) -> Capabilities:
        """What this backend has Unsloth do."""
        return Capabilities(
            methods=frozenset(translate.METHODS),
            adapters=frozenset({"full", "lora", "dora", "rslora"}),
            quantizations=frozenset(translate.QUANTIZATIONS),
            formats=frozenset().union(*(FORMATS[method] for method in translate.METHODS)),
            verbs=frozenset({"events", "metrics", "cancel", "resume", "fetch"}),
        )

    def plan(self, spec: JobSpec, options: Any) -> Plan:
        """Unsloth's calls and TRL's arguments."""
        pins = pins_of(spec, self.name)
        return translate.plan(spec, options, device(options.device), HOUSE.version, pins)
