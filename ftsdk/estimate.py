"""Forecast what a job needs before anything is spent."""

from ftsdk.spec.base import Section


class MemoryForecast(Section):
    """Bytes on one device at the peak, part by part."""

    weights: int
    """The base model as it is held."""
    adapter: int
    """Trained parameters with their gradients and optimizer states."""
    activations: int
    """What the backward pass needs of the forward pass, for one micro-batch."""
    logits: int
    """The output head's working set."""
    overhead: int
    """The device context, and memory lost to fragmentation."""

    @property
    def total(self) -> int:
        """All parts together, in bytes."""
        return self.weights + self.adapter + self.activations + self.logits + self.overhead
