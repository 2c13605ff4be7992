"""The LLaMA-Factory backend: LLaMA-Factory, in an environment of its own."""

from collections.abc import Mapping
from typing import ClassVar

from ftsdk.backend import Options
from ftsdk.engines.backend import TokensBackend
from ftsdk.engines.environment import EngineEnvironment
from ftsdk_llamafactory import translate
from ftsdk_llamafactory.engine import ENGINE_ENVIRONMENT, ENVIRONMENTS_OF_METHODS, LlamaFactoryOptions
from ftsdk_llamafactory.methods import STAGES

__all__ = ["LlamaFactoryBackend"]


class LlamaFactoryBackend(TokensBackend):
    """SFT, preference tuning, reward models and PPO by LLaMA-Factory, with ftsdk's own tokens and labels."""

    name = translate.NAME
    worker = "ftsdk_llamafactory.worker"
    environment = ENGINE_ENVIRONMENT
    environments: ClassVar[Mapping[str, EngineEnvironment]] = ENVIRONMENTS_OF_METHODS
    Options: ClassVar[type[Options]] = LlamaFactoryOptions
    methods = frozenset(STAGES)
    quantizations = frozenset(translate.QUANTIZATIONS)
    translate = staticmethod(translate.plan)
