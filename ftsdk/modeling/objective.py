"""The loss of a bin of rows, by the leanest way that is right for the model at hand.

Which way is right is not looked up in a list of architectures but tried on two short rows: laid end to end they must
give what each gives alone under plain eager attention, and the bare head must give the model's own logits. A model that
caps its logits, or that mixes neighbouring rows, is found out by its numbers.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ftsdk.modeling.attention import ROW_BY_ROW, register
from ftsdk.modeling.batches import Bin, Example, lay_end_to_end
from ftsdk.modeling.losses import linear_cross_entropy

_PROBE_TOKENS = 48
_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 5e-2, torch.float16: 2e-2}


class Route(NamedTuple):
    """How the loss is computed for one model."""

    attention: str
    """Transformers' name of the attention."""
    end_to_end: bool
    """Whether rows may lie in one bin; otherwise each goes alone."""
    bare_head: bool | None
    """Whether logits are hidden states times the head's weight and nothing else; None: the model gives no logits."""

    def __str__(self) -> str:
        rows = "rows end to end" if self.end_to_end else "each row alone"
        return f"attention {self.attention}, {rows}{_HEADS[self.bare_head]}"


_HEADS = {
    True: ", logits of labelled tokens only",
    False: ", logits of labelled tokens only, through the model's own head",
    None: "",
}

Sums = dict[str, Tensor]
"""``loss``, with its gradient, and metrics beside it: each a sum over what lies in a bin."""


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
        asked = (bin_.labels_T >= 0).nonzero().squeeze(-1)
        labels_N = bin_.labels_T[asked]
        if self.route.bare_head:
            hidden_TH = hidden_states(self.model, bin_)
            return linear_cross_entropy(hidden_TH[asked], self.model.get_output_embeddings().weight, labels_N)
        logits_NV = logits_at(self.model, bin_, asked)
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
def find_route(model: Any, examples: Sequence[Example], wanted: str = "auto") -> Route:
    """Try the ways on two short rows, leave the model with the chosen attention, and say which one it is.

    Args:
        model: A language model, or one that scores, on its device.
        examples: Rows of the dataset; the first two are used, cut short.
        wanted: ``compute.attention``.
    """
    register()
    rows = [_short(example) for example in (*examples[:2], *examples[:1])[:2]]
    device = model.get_input_embeddings().weight.device
    alone = [lay_end_to_end([row]).to(device) for row in rows]
    together = lay_end_to_end(rows).to(device)
    was_training = model.training
    model.eval()
    try:
        model.set_attn_implementation("eager")
        truth = torch.cat([hidden_states(model, bin_) for bin_ in alone])
        bare = _has_bare_head(model, alone[0])
        for name in (ROW_BY_ROW, "sdpa") if wanted == "auto" else (wanted,):
            if _gives(model, name, together, truth):
                return Route(name, end_to_end=True, bare_head=bare)
        name = "eager" if wanted == "auto" else wanted
        model.set_attn_implementation(name)
        return Route(name, end_to_end=False, bare_head=bare)
    finally:
        model.train(was_training)


def _short(example: Example) -> Example:
    return Example(example.input_ids[:_PROBE_TOKENS], example.labels[:_PROBE_TOKENS])


def _gives(model: Any, attention: str, together: Bin, truth: Tensor) -> bool:
    try:
        model.set_attn_implementation(attention)
    except (ValueError, ImportError):  # the architecture, or this machine, does not have it
        return False
    return _close(hidden_states(model, together), truth)


def _has_bare_head(model: Any, bin_: Bin) -> bool | None:
    head = model.get_output_embeddings()
    if head is None:
        return None
    if type(head) is not nn.Linear or getattr(head, "bias", None) is not None:
        return False
    positions = torch.arange(len(bin_.labels_T), device=bin_.labels_T.device)
    return _close(head(hidden_states(model, bin_)), logits_at(model, bin_, positions))


def _close(one: Tensor, other: Tensor) -> bool:
    difference = (one.float() - other.float()).norm() / other.float().norm().clamp_min(1e-12)
    return bool(difference < _TOLERANCE[other.dtype])
