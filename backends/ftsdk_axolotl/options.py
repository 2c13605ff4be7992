"""Settings that Axolotl alone has: ``backend_options.axolotl`` in the spec."""

from ftsdk.engines.backend import EngineOptions


class AxolotlOptions(EngineOptions):
    """What a spec does not say, because it is about Axolotl alone."""
