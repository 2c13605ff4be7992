"""The backends of this repository, as its entry points list them: a new one is tested where it is not named."""

from importlib.metadata import entry_points

from ftsdk.backend import Backend
from ftsdk.engines.backend import TokensBackend
from ftsdk.plugins import BACKENDS, TESTING_BACKEND
from ftsdk.registry import load_backend
from ftsdk.workers.backend import WorkerBackend

PACKAGES = {
    entry.name: entry.module.partition(".")[0]
    for entry in entry_points(group=BACKENDS.name)
    if entry.dist is not None and entry.dist.name == "ftsdk" and entry.name != TESTING_BACKEND
}
"""From a backend's name to its import package."""


def backends_of(kind: type[Backend]) -> dict[str, Backend]:
    """Those of a base class, by name."""
    backends = {name: load_backend(name) for name in sorted(PACKAGES)}
    return {name: backend for name, backend in backends.items() if isinstance(backend, kind)}


TOKEN_ENGINES = backends_of(TokensBackend)
"""Foreign engines that train on ftsdk's tokens."""

ON_THIS_MACHINE = backends_of(WorkerBackend)
"""Those whose jobs run here."""
