"""A backend that runs a foreign engine on this machine, in the engine's own Python."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

from ftsdk.backend import Capabilities, Plan, Record
from ftsdk.data.formats import FORMATS_OF_METHOD
from ftsdk.engines.environment import EngineEnvironment, Report, build, check_python, describe, obstacles
from ftsdk.errors import Problem
from ftsdk.huggingface.revisions import pin_revisions
from ftsdk.spec import JobSpec
from ftsdk.workers.backend import WorkerBackend
from ftsdk.workers.event_writer import EventWriter
from ftsdk.workers.hardware import device
from ftsdk.workers.options import WorkerOptions

Translate = Callable[..., Plan]
"""From spec, options, machine, the engine's version and pins to a plan."""


class EngineOptions(WorkerOptions):
    """How an engine is run on this machine."""

    python: str | None = None
    """A Python of your own that has the engine. None: an environment that ftsdk installs for it alone."""


class EngineBackend(WorkerBackend):
    """Runs each job in a worker that starts the engine as a subprocess; the user's environment never changes."""

    environment: ClassVar[EngineEnvironment]
    environments: ClassVar[Mapping[str, EngineEnvironment]] = MappingProxyType({})
    """From a method to its environment, where it is not the common one."""

    def environment_for(self, method: str) -> EngineEnvironment:
        """The environment of a method."""
        return self.environments.get(method, self.environment)

    def check(self) -> list[Problem]:
        """What prevents the installation of the engine; it is installed at the first job."""
        return obstacles(self.environment)

    def describe(self) -> str:
        """The engine, where it is installed, and the device."""
        return f"{describe(self.environment)}; trains on {device().name}"

    def submit(self, plan: Plan, token: str, record: Record) -> str:
        """Check that a Python of the user's own has the engine; then as any job on this machine."""
        if python := _users_python(plan):
            check_python(python, self.environment_for(plan.spec.method.type))
        return super().submit(plan, token, record)

    def install(self, tell: Report) -> None:
        """Install the engine into an environment of its own, and one more for each method that needs another."""
        for environment in (self.environment, *self.environments.values()):
            build(environment, tell)


class TokensBackend(EngineBackend):
    """Runs an engine that receives rows as tokens; its methods and its translation are its own."""

    methods: ClassVar[frozenset[str]]
    quantizations: ClassVar[frozenset[str]]
    translate: ClassVar[Translate]

    def capabilities(self) -> Capabilities:
        """What this backend runs with the engine; rows of any format become tokens."""
        return Capabilities(
            methods=self.methods,
            adapters=frozenset({"full", "lora", "dora", "rslora"}),
            quantizations=self.quantizations,
            formats=frozenset().union(*(FORMATS_OF_METHOD[method] for method in self.methods)),
            verbs=frozenset({"events", "metrics", "cancel", "resume", "fetch"}),
        )

    def plan(self, spec: JobSpec, options: Any) -> Plan:
        """The engine's own configuration."""
        version, pins = self.environment_for(spec.method.type).version, pin_revisions(spec, self.name)
        return type(self).translate(spec, options, device(options.device), version, pins)


def engine_python(environment: EngineEnvironment, plan: Plan, reporter: EventWriter) -> Path:
    """The engine's Python: the user's own, or the environment's, which is installed where it is missing.

    Raises:
        ConfigError: It lacks the engine, or cannot be installed.
        InputError: The disk has too little space.
    """
    if python := _users_python(plan):
        check_python(python, environment)
        return python
    if not environment.is_ready:
        reporter.log(f"installing {environment.package} {environment.version}, about {environment.size / 1e9:.1f} GB")
        reporter.stage(f"installing {environment.package} {environment.version}")
        build(environment, print)
    return environment.interpreter


def _users_python(plan: Plan) -> Path | None:
    path = plan.spec.backend_options.get(plan.backend, {}).get("python")
    return Path(path).expanduser().absolute() if isinstance(path, str) else None
