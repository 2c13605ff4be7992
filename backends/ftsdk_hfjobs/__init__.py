"""The Hugging Face Jobs backend: ftsdk's own engine on Hugging Face's machines."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, ClassVar

from ftsdk.backend import Capabilities, Options, Plan
from ftsdk.data.formats import FORMATS_OF_METHOD
from ftsdk.errors import Problem
from ftsdk.huggingface.connection import connected, token_problems
from ftsdk.huggingface.errors import TOKEN, TOKENS_PAGE
from ftsdk.huggingface.flavors import flavors
from ftsdk.huggingface.revisions import pin_revisions
from ftsdk.remote.backend import RemoteBackend
from ftsdk.spec import JobSpec
from ftsdk_hfjobs import translate
from ftsdk_hfjobs.options import HfJobsOptions
from ftsdk_hfjobs.service import HfJobsService
from ftsdk_local import methods

__all__ = ["HfJobsBackend"]


class HfJobsBackend(RemoteBackend):
    """The complete local engine on a machine of Hugging Face; one paid Job for one submission."""

    name = translate.NAME
    Options: ClassVar[type[Options]] = HfJobsOptions
    client_package = "huggingface_hub"
    api_key = TOKEN
    api_key_hint = f"create a token at {TOKENS_PAGE}; export it, or: hf auth login"

    @contextmanager
    def connect(self) -> Iterator[HfJobsService]:
        """Hugging Face Jobs, through the Hub's own client."""
        with connected(self.name, self.timing) as hub:
            yield HfJobsService(hub)

    def capabilities(self) -> Capabilities:
        """The engine's."""
        return Capabilities(
            methods=frozenset(methods.OPTIONS),
            adapters=frozenset({"full", "lora", "dora", "rslora"}),
            quantizations=frozenset({"nf4", "fp4", "int8"}),
            formats=frozenset().union(*FORMATS_OF_METHOD.values()),
            verbs=frozenset({"events", "metrics", "cancel", "fetch"}),
            costs_money=True,
        )

    def check(self) -> list[Problem]:
        """The Hub's client and a token, which may also be that of ``hf auth login``."""
        if find_spec(self.client_package) is None:
            return [Problem(self.client_package, "is not installed", "pip install 'ftsdk[hfjobs]'")]
        return token_problems()

    def plan(self, spec: JobSpec, options: Any) -> Plan:
        """The Job: its machine, its price, the engine's settings. Only read requests are sent.

        Raises:
            UnsupportedSpec: With every field that cannot be honoured.
            AuthError: There is no token, or it may not write.
            UnreachableError: The Hub does not answer.
        """
        with connected(self.name, self.timing) as hub:
            owner, machines = hub.namespace(options.namespace), flavors(hub)
        variables = frozenset(name for name, value in os.environ.items() if value)
        context = translate.HubContext(owner, machines, pin_revisions(spec, self.name), variables)
        return translate.plan(spec, options, context)
