"""The loss curve as an image."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

UNITS = {"sft": "nats per token", "reward_modeling": "nats per pair"}
"""Of the loss, by method."""


def draw_losses(metrics: Mapping[int, Mapping[str, float]], target: Path, method: str) -> None:
    """Draw training and held-out loss over the optimizer steps.

    Args:
        metrics: From a step to its metrics.
        target: A PNG file.
        method: Decides the unit on the axis.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for name, label, style in (("loss", "training", "-"), ("eval_loss", "held-out", "o-")):
        points = [(step, values[name]) for step, values in sorted(metrics.items()) if name in values]
        if points:
            axes.plot(*zip(*points, strict=True), style, label=label, markersize=4)
    axes.set(xlabel="optimizer step", ylabel=f"loss ({UNITS[method]})" if method in UNITS else "loss")
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend()
    figure.savefig(target, dpi=120, metadata={"Software": None})
