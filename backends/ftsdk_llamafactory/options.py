"""Settings that LLaMA-Factory alone has: ``backend_options.llamafactory`` in the spec."""

from ftsdk.engines.backend import EngineOptions


class LlamaFactoryOptions(EngineOptions):
    """What a spec does not say, because only LLaMA-Factory has it."""

    enable_liger_kernel: bool = False
    """Liger's fused kernels, on NVIDIA cards; install them into a Python of your own (``python``)."""
