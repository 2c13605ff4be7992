"""The Axolotl backend: Axolotl, in an environment of its own."""

from typing import Any, ClassVar

from ftsdk.backend import Capabilities, Options, Plan
from ftsdk.kit.engines.backend import EngineBackend
from ftsdk.kit.formats import FORMATS
from ftsdk.kit.hardware import device
from ftsdk.kit.hub.pins import pins_of
from ftsdk.spec import JobSpec
from ftsdk_axolotl import translate
from ftsdk_axolotl.installation import HOUSE
from ftsdk_axolotl.options import AxolotlOptions

__all__ = ["AxolotlBackend"]


class AxolotlBackend(EngineBackend):
    """SFT, preference tuning and reward models by Axolotl 0.19.0, with ftsdk's own tokens and labels."""

    name = translate.NAME
    worker = "ftsdk_axolotl.worker"
    house = HOUSE
    Options: ClassVar[type[Options]] = AxolotlOptions

    def capabilities(self) -> Capabilities:
        """What this backend has Axolotl do."""
        return Capabilities(
            methods=frozenset(translate.METHODS),
            adapters=frozenset({"full", "lora", "dora", "rslora"}),
            quantizations=frozenset(translate.QUANTIZATIONS),
            formats=frozenset().union(*(FORMATS[method] for method in translate.METHODS)),
            verbs=frozenset({"events", "metrics", "cancel", "resume", "fetch"}),
        )

    def plan(self, spec: JobSpec, options: Any) -> Plan:
        """Axolotl's YAML."""
        pins = pins_of(spec, self.name)
        return translate.plan(spec, options, device(options.device), HOUSE.version, pins)
