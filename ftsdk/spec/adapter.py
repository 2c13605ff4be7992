"""Which weights are trained."""

from typing import Annotated, Any, Literal

from pydantic import Field

from ftsdk.spec.base import SpecSection

BASE_CHANGING_INITS = frozenset({"pissa", "olora"})
"""Values of ``init`` that also change the frozen base: the adapter alone does not say what was trained."""


def _twice_the_rank(fields: dict[str, Any]) -> float:
    return 2.0 * float(fields.get("r", 16))


class LoRA(SpecSection):
    """Low-rank adaptation (arXiv 2106.09685): two small matrices beside each frozen weight, ``alpha / r`` strong."""

    r: Annotated[int, Field(ge=1, le=1024)] = 16
    """Rank of the two matrices."""
    alpha: Annotated[float, Field(gt=0)] = Field(default_factory=_twice_the_rank)
    """Strength: the update is scaled by ``alpha / r``. Blank: twice the rank."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout on the adapter's input."""
    target_modules: Literal["all-linear"] | Annotated[tuple[str, ...], Field(min_length=1)] = "all-linear"
    """Names of the linear layers to adapt; ``all-linear`` takes each one but the output head."""
    use_dora: bool = False
    """Train magnitude and direction apart (DoRA, arXiv 2402.09353)."""
    use_rslora: bool = False
    """Scale by ``alpha / sqrt(r)`` instead (rsLoRA, arXiv 2312.03732)."""
    init: Literal["default", "gaussian", "pissa", "olora"] = "default"
    """How the matrices start; ``default`` is Kaiming-uniform A and zero B."""
