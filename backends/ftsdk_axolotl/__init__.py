"""The Axolotl backend: Axolotl, in an environment of its own."""

from typing import ClassVar

from ftsdk.backend import Options
from ftsdk.engines.backend import TokensBackend
from ftsdk_axolotl import translate
from ftsdk_axolotl.engine import ENGINE_ENVIRONMENT, AxolotlOptions

__all__ = ["AxolotlBackend"]


class AxolotlBackend(TokensBackend):
    """SFT, preference tuning and reward models by Axolotl 0.19.0, with ftsdk's own tokens and labels."""

    name = translate.NAME
    worker = "ftsdk_axolotl.worker"
    environment = ENGINE_ENVIRONMENT
    Options: ClassVar[type[Options]] = AxolotlOptions
    methods = frozenset(translate.METHODS)
    quantizations = frozenset(translate.QUANTIZATIONS)
    translate = staticmethod(translate.plan)
