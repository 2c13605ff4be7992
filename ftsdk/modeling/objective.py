"""The loss of a bin of rows, computed the cheapest way that is correct for the model.

No list of architectures decides which way is correct. Each way is tried on two short rows: laid end to end they must
give what each gives alone under plain eager attention, and the head's weight must give the model's own logits. A model
that caps its logits, or that mixes neighbouring rows, fails this comparison.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ftsdk.modeling.attention import ROW_BY_ROW, register
from ftsdk.modeling.batches import Bin, Example, lay_end_to_end
from ftsdk.modeling.losses import linear_cross_entropy

# Enough tokens that a leak between rows shows, few enough that the comparison costs nothing.
_PROBE_TOKENS = 48
# Relative, by precision: kernels differ in their last bits, while a wrong mask or head is off by a large share.
_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 5e-2, torch.float16: 2e-2}


class Route(NamedTuple):
    """How the loss is computed for one model."""

    attention: str
    """Transformers' name of the attention."""
    end_to_end: bool
    """Whether several rows may be in one bin; otherwise each is computed alone."""
    bare_head: bool | None
    """Whether logits are hidden states times the head's weight and nothing more; None: the model gives no logits."""

    def __str__(self) -> str:
        rows = "rows end to end" if self.end_to_end else "each row alone"
        return f"attention {self.attention}, {rows}{_HEADS[self.bare_head]}"


_HEADS = {
    True: ", logits of labelled tokens only",
    False: ", logits of labelled tokens only, through the model's own head",
    None: "",
}

Sums = dict[str, Tensor]
"""``loss``, with its gradient, and metrics: each a sum over the rows of a bin."""


class Objective:
    """Sums the negative log-likelihood over a bin's labelled tokens.

    Args:
        model: A causal language model, without a PEFT wrapper around it.
        route: From :func:`find_route`.
    """

    def __init__(self, model: Any, route: Route) -> None:
        self.model = model
        self.route = route

    def __call__(self, bin_: Bin) -> Sums:
        """The sum over the bin, in float32."""
        return {"loss": self._loss(bin_)}

    def _loss(self, bin_: Bin) -> Tensor:
        positions_N = (bin_.labels_T >= 0).nonzero().squeeze(-1)
        labels_N = bin_.labels_T[positions_N]
        if self.route.bare_head:
            hidden_TH = hidden_states(self.model, bin_)
            return linear_cross_entropy(hidden_TH[positions_N], self.model.get_output_embeddings().weight, labels_N)
        logits_NV = logits_at(self.model, bin_, positions_N)
        # In float32, because the exponentials of a softmax over a large vocabulary lose small terms in bfloat16.
        return functional.cross_entropy(logits_NV.float(), labels_N, reduction="sum")


def hidden_states(model: Any, bin_: Bin) -> Tensor:
    """The last hidden states of a bin, T x H, before the head."""
    backbone = getattr(model, model.base_model_prefix)
    output: Tensor = backbone(**_inputs(bin_)).last_hidden_state
    return output[0]


def logits_at(model: Any, bin_: Bin, positions: Tensor) -> Tensor:
    """The model's own logits at some positions of a bin, N x V."""
    output: Tensor = model(**_inputs(bin_), logits_to_keep=positions).logits
    return output[0]


def _inputs(bin_: Bin) -> dict[str, Any]:
    longest = max(bin_.lengths)
    # Rotary embeddings take the position of each token from position_ids: without them the second row of a bin would
    # be rotated as if it went on from the first one. The cu_seq_lens are the names by which Transformers' attention
    # interface, and ours, learns where rows begin; a model that ignores them fails the comparison in find_route.
    return {
        "input_ids": bin_.input_ids_1T,
        "position_ids": bin_.position_ids_1T,
        "use_cache": False,
        "cu_seq_lens_q": bin_.starts,
        "cu_seq_lens_k": bin_.starts,
        "max_length_q": longest,
        "max_length_k": longest,
    }


@torch.no_grad()
def find_route(model: Any, examples: Sequence[Example], attention: str = "auto") -> Route:
    """Try each way on two short rows, leave the model with the chosen attention, and return the choice.

    Args:
        model: A language model, or one that scores, on its device.
        examples: Rows of the dataset; the first two are used, truncated.
        attention: ``compute.attention``.
    """
    register()
    rows = [_short(example) for example in (*examples[:2], *examples[:1])[:2]]
    device = model.get_input_embeddings().weight.device
    alone = [lay_end_to_end([row]).to(device) for row in rows]
    together = lay_end_to_end(rows).to(device)
    was_training = model.training
    model.eval()  # dropout would make two correct ways differ
    try:
        model.set_attn_implementation("eager")
        expected = torch.cat([hidden_states(model, bin_) for bin_ in alone])
        bare = _has_bare_head(model, alone[0])
        for name in (ROW_BY_ROW, "sdpa") if attention == "auto" else (attention,):
            if _matches(model, name, together, expected):
                return Route(name, end_to_end=True, bare_head=bare)
        name = "eager" if attention == "auto" else attention
        model.set_attn_implementation(name)
        return Route(name, end_to_end=False, bare_head=bare)
    finally:
        model.train(was_training)


def _short(example: Example) -> Example:
    return Example(example.input_ids[:_PROBE_TOKENS], example.labels[:_PROBE_TOKENS])


def _matches(model: Any, attention: str, together: Bin, expected: Tensor) -> bool:
    try:
        model.set_attn_implementation(attention)
    except (ValueError, ImportError):  # the architecture, or this machine, does not have it
        return False
    return _close(hidden_states(model, together), expected)


def _has_bare_head(model: Any, bin_: Bin) -> bool | None:
    head = model.get_output_embeddings()
    if head is None:
        return None
    # Exactly nn.Linear: a subclass, such as an adapter or a quantized layer, computes more than one matrix product.
    if type(head) is not nn.Linear or getattr(head, "bias", None) is not None:
        return False
    # The comparison finds what the class does not show, such as logits that the model scales or caps (Gemma 2).
    positions = torch.arange(len(bin_.labels_T), device=bin_.labels_T.device)
    return _close(head(hidden_states(model, bin_)), logits_at(model, bin_, positions))


def _close(actual: Tensor, expected: Tensor) -> bool:
    difference = (actual.float() - expected.float()).norm() / expected.float().norm().clamp_min(1e-12)
    return bool(difference < _TOLERANCE[expected.dtype])
