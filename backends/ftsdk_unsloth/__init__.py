"""The Unsloth backend: Unsloth, in an environment of its own."""

from typing import ClassVar

from ftsdk.backend import Options
from ftsdk.engines.backend import TokensBackend
from ftsdk_unsloth import translate
from ftsdk_unsloth.engine import ENGINE_ENVIRONMENT, UnslothOptions

__all__ = ["UnslothBackend"]


class UnslothBackend(TokensBackend):
    """SFT, preference tuning and reward models by Unsloth 2026.10.9, with ftsdk's own tokens and labels."""

    name = translate.NAME
    worker = "ftsdk_unsloth.worker"
    environment = ENGINE_ENVIRONMENT
    Options: ClassVar[type[Options]] = UnslothOptions
    methods = frozenset(translate.METHODS)
    quantizations = frozenset(translate.QUANTIZATIONS)
    translate = staticmethod(translate.plan)
